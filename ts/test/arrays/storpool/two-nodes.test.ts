// SPDX-License-Identifier: AGPL-3.0-or-later
import test, { type ExecutionContext } from "ava";
import type { SimulatorOptions } from "../../../sim/storpool/index.js";
import type { VolumeRef } from "../../../src/arrays/contract.js";
import { eventually } from "../../eventually.js";
import { type Change, type NodeName, Nodes } from "./nodes.js";

const a = 11;
const b = 12;

/** A guest that runs on node-a: its disk is attached there and open. */
async function running(
  t: ExecutionContext,
  options: SimulatorOptions = {},
): Promise<{ n: Nodes; disk: VolumeRef }> {
  const n = await Nodes.start(t, options);
  const disk = await n.disk();
  n.guest(100, { node: "node-a" });
  await n.activate("node-a", disk);
  n.open("node-a", disk);
  n.sim.journal.clear();
  return { n, disk };
}

/** Nobody was forced, and these clients were never to lose anything. */
function harmless(t: ExecutionContext, n: Nodes, ...spared: number[]): void {
  for (const change of n.changes()) {
    t.not(change.force, true, JSON.stringify(change));
    for (const client of spared) t.false(takes(change, client), JSON.stringify(change));
  }
}

function takes({ detach }: Change, client: number): boolean {
  return detach === "all" || (detach ?? []).includes(client);
}

/** Brings a running guest to the middle of its migration: both nodes have the disk, both QEMUs have it open. */
async function migrating(t: ExecutionContext) {
  const { n, disk } = await running(t);
  n.guest(100, { node: "node-a", lock: "migrate" });
  await n.activate("node-b", disk);
  n.open("node-b", disk);
  return { n, disk };
}

test("a live migration has the disk on both nodes until the source gives it up", async (t) => {
  const { n, disk } = await migrating(t);
  t.deepEqual(n.holders(disk), ["node-a", "node-b"]);
  t.deepEqual(n.sim.check({ sharedRw: true }), []);
  n.guest(100, { node: "node-b", lock: "migrate" });
  n.open("node-a", disk, false);
  await n.deactivate("node-a", disk);
  t.deepEqual(n.holders(disk), ["node-b"]);
  n.guest(100, { node: "node-b" });
  await n.activate("node-b", disk);
  t.deepEqual(n.holders(disk), ["node-b"]);
  t.deepEqual(n.changes(), [{ rw: [b] }, { detach: [a] }]);
  harmless(t, n, b);
  t.deepEqual(n.sim.check(), []);
});

test("a migration that fails on the target takes the disk from the target only", async (t) => {
  const { n, disk } = await migrating(t);
  n.open("node-b", disk, false);
  await n.deactivate("node-b", disk);
  t.deepEqual(n.holders(disk), ["node-a"]);
  n.guest(100, { node: "node-a" });
  await n.activate("node-a", disk);
  t.deepEqual(n.holders(disk), ["node-a"]);
  harmless(t, n, a);
  t.deepEqual(n.sim.check(), []);
});

test("a migration that fails on the source after the switch takes the disk from the source only", async (t) => {
  const { n, disk } = await migrating(t);
  n.guest(100, { node: "node-b" });
  n.open("node-a", disk, false);
  await n.deactivate("node-a", disk);
  await n.deactivate("node-a", disk);
  t.deepEqual(n.holders(disk), ["node-b"]);
  await t.throwsAsync(n.activate("node-a", disk), { code: "refused" });
  t.deepEqual(n.holders(disk), ["node-b"]);
  harmless(t, n, b);
});

test("the target of a migration that failed cannot take the disk once the lock is gone", async (t) => {
  const { n, disk } = await running(t);
  await t.throwsAsync(n.activate("node-b", disk), { code: "refused", message: /'node-a'/ });
  t.deepEqual(n.holders(disk), ["node-a"]);
  t.deepEqual(n.changes(), []);
});

test("a source that still has the disk open says busy, and the target keeps it", async (t) => {
  const { n, disk } = await migrating(t);
  n.guest(100, { node: "node-b" });
  const soon = { ...n.ctx, signal: AbortSignal.timeout(600) };
  await t.throwsAsync(n.deactivate("node-a", disk, soon));
  t.deepEqual(n.holders(disk), ["node-a", "node-b"]);
  harmless(t, n, b);
});

test("a source that closes the disk a little late is waited for", async (t) => {
  const { n, disk } = await migrating(t);
  n.guest(100, { node: "node-b" });
  const attempts = () => n.changes().filter((change) => takes(change, a)).length;
  const closing = eventually(() => attempts() >= 2).then(() => n.open("node-a", disk, false));
  await n.deactivate("node-a", disk);
  await closing;
  t.true(attempts() > 2);
  t.deepEqual(n.holders(disk), ["node-b"]);
  harmless(t, n, b);
});

test("the disk of a node that is down is taken over by force, at once", async (t) => {
  const { n, disk } = await running(t);
  await n.sim.setClient(a, "down");
  n.guest(100, { node: "node-b", ha: { state: "started", node: "node-b" } });
  const start = performance.now();
  await n.activate("node-b", disk);
  t.true(performance.now() - start < 10_000, "waited for the dead client");
  t.deepEqual(n.holders(disk), ["node-b"]);
  t.true(n.changes().some((change) => change.force === true && takes(change, a)));
  t.not(n.sim.device(b, n.sim.state.attachments[0]?.object.globalId ?? ""), undefined);
  await n.sim.setClient(a, "running");
  t.deepEqual(n.sim.check(), []);
});

test("a dead node's disk is not taken by a node that the guest was not moved to", async (t) => {
  const { n, disk } = await running(t);
  await n.sim.setClient(a, "down");
  await t.throwsAsync(n.activate("node-b", disk), { code: "refused" });
  t.deepEqual(n.holders(disk), ["node-a"]);
  t.deepEqual(n.changes(), []);
});

test("a disk that the old client still has open is taken by force when the HA manager started the guest here", async (t) => {
  const { n, disk } = await running(t);
  n.guest(100, { node: "node-b", ha: { state: "started", node: "node-b" } });
  await n.activate("node-b", disk);
  t.deepEqual(n.holders(disk), ["node-b"]);
  t.deepEqual(n.changes(), [{ rw: [b], detach: [a], force: true }]);
  t.deepEqual(n.sim.check(), []);
});

for (const ha of [
  undefined,
  { state: "started", node: "node-a" },
  { state: "recovery", node: "node-b" },
  { state: "error", node: "node-b" },
] as const) {
  const said = ha === undefined ? "nothing" : `'${ha.state}' on ${ha.node}`;
  test(`a disk that another running client has open stays there while the HA manager says ${said}`, async (t) => {
    const { n, disk } = await running(t);
    n.guest(100, { node: "node-b", ...(ha ? { ha } : {}) });
    await t.throwsAsync(n.activate("node-b", disk), { code: "busy" });
    t.deepEqual(n.holders(disk), ["node-a"]);
    harmless(t, n);
    t.deepEqual(n.sim.check(), []);
  });
}

test("a disk that another running client has not open is detached there without force", async (t) => {
  const { n, disk } = await running(t);
  n.open("node-a", disk, false);
  n.guest(100, { node: "node-b" });
  await n.activate("node-b", disk);
  t.deepEqual(n.holders(disk), ["node-b"]);
  t.true(n.changes().some((change) => takes(change, a)));
  harmless(t, n, b);
  t.deepEqual(n.sim.check(), []);
});

test("while its guest is locked, a disk is not taken from a running client", async (t) => {
  const { n, disk } = await running(t);
  n.open("node-a", disk, false);
  for (const ha of [undefined, { state: "started", node: "node-b" } as const]) {
    n.guest(100, { node: "node-b", lock: "backup", ...(ha ? { ha } : {}) });
    await t.throwsAsync(n.activate("node-b", disk), { code: "busy", message: /locked \(backup\)/ });
  }
  t.deepEqual(n.holders(disk), ["node-a"]);
  t.deepEqual(n.changes(), []);
});

test("the disk of a guest without configuration is attached beside whoever has it", async (t) => {
  const n = await Nodes.start(t);
  const disk = await n.disk();
  for (const node of ["node-a", "node-b"] satisfies NodeName[]) await n.activate(node, disk);
  t.deepEqual(n.holders(disk), ["node-a", "node-b"]);
  harmless(t, n, a, b);
});

test("what another node has open is neither deleted nor rolled back nor made a base", async (t) => {
  const { n, disk } = await running(t);
  const other = n.drivers["node-b"];
  const base = { ...disk, name: "base-100-disk-0" };
  await t.throwsAsync(other.makeBase(n.ctx, disk, base), { code: "busy", message: /client 11/ });
  await n.drivers["node-a"].createSnapshot(n.ctx, disk, "s1");
  await t.throwsAsync(other.deleteVolume(n.ctx, disk), { code: "busy", message: /client 11/ });
  await t.throwsAsync(other.rollback(n.ctx, disk, "s1"), { code: "busy", message: /client 11/ });
  t.deepEqual(n.holders(disk), ["node-a"]);
  harmless(t, n);
  t.is((await other.listSnapshots(n.ctx, disk)).length, 1);
});

test("what another node has attached and closed, or a dead one has, can be rolled back and deleted", async (t) => {
  for (const dead of [false, true]) {
    const { n, disk } = await running(t);
    const other = n.drivers["node-b"];
    await n.drivers["node-a"].createSnapshot(n.ctx, disk, "s1");
    if (dead) await n.sim.setClient(a, "down");
    else n.open("node-a", disk, false);
    await other.rollback(n.ctx, disk, "s1");
    t.deepEqual(n.holders(disk), []);
    t.is(
      n.changes().some(({ force }) => force === true),
      dead,
    );
    t.true(await other.deleteVolume(n.ctx, disk));
    t.is([...n.sim.state.objects.values()].filter(({ deleted }) => !deleted).length, 0);
  }
});

test("of a dead and a running holder, the dead one is forced and the running one is not", async (t) => {
  const { n, disk } = await running(t, { clients: [a, b, 13] });
  const object = n.sim.state.attachments[0]?.object;
  if (!object) throw new Error("nothing is attached");
  n.sim.state.attach(object, 13, "rw");
  n.sim.setOpen(13, object.globalId, true);
  await n.sim.setClient(13, "down");
  n.guest(100, { node: "node-b" });
  await t.throwsAsync(n.activate("node-b", disk), { code: "busy" });
  t.true(n.holders(disk).includes("node-a"));
  t.false(n.changes().some((change) => change.force === true && takes(change, a)));
  n.open("node-a", disk, false);
  await n.activate("node-b", disk);
  t.deepEqual(
    n.sim.state.attachments.map(({ client }) => client),
    [b],
  );
  t.false(n.changes().some((change) => change.force === true && takes(change, a)));
});
