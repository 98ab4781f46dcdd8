// SPDX-License-Identifier: AGPL-3.0-or-later
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { randomFrom } from "../../sim/common/random.js";
import type { SimulatorOptions, StoredObject } from "../../sim/storpool/index.js";
import { mib, type Row, type Session, session } from "./storpool.js";

/** What a node may be told when others work on the same objects; never `internal`. */
const expected = /^(objectDoesNotExist|busy|invalidParam|insufficientResources|objectExists|timeout): /;

const named = ({ globalId }: StoredObject): Row => ({ volume: `~${globalId}` });

/** One request of a node that picks everything at random. */
async function step(s: Session, client: number, random: () => number): Promise<void> {
  const pick = <T>(list: readonly T[]): T | undefined => list[Math.floor(random() * list.length)];
  const ids = (kind: string) => [...s.sim.state.objects.values()].filter((object) => object.kind === kind);
  const volume = pick(ids("volume"))?.globalId ?? "none";
  const snapshot = pick(ids("snapshot"))?.globalId ?? "none";
  const requests: [string, unknown][] = [
    ["VolumeCreate", { template: "nvme", size: mib }],
    ["VolumeCreate", { parent: `~${snapshot}` }],
    ["VolumeCreate", { baseOn: `~${volume}` }],
    [`VolumeUpdate/~${volume}`, { sizeAdd: 4096, tags: { by: String(client) } }],
    [`VolumeDelete/~${volume}`, random() < 0.3 ? { onAttached: "detachForce" } : {}],
    [`VolumeSnapshot/~${volume}`, {}],
    [`VolumeSnapshot/~${volume}`, { bind: true }],
    ["VolumesGroupSnapshot", { volumes: ids("volume").slice(-3).map(named) }],
    [`SnapshotDelete/~${snapshot}`, {}],
    [`VolumeRevert/~${volume}`, { toSnapshot: `~${snapshot}`, revertSize: true }],
    [`VolumeFreeze/~${volume}`, {}],
    [`VolumeRebase/~${volume}`, {}],
    ["VolumesReassignWait", { reassign: [{ volume: `~${volume}`, rw: [client] }] }],
    ["VolumesReassignWait", [{ volume: `~${volume}`, rw: [client], detach: "all", force: true }]],
    ["VolumesReassignWait", { reassign: [{ snapshot: `~${snapshot}`, ro: [client] }], attachTimeout: 1 }],
    ["VolumesReassign", [{ volume: `~${volume}`, detach: "all" }]],
    ["VolumesReassign", [{ snapshot: `~${snapshot}`, detach: "all" }]],
  ];
  const [path, body] = pick(requests) ?? ["", {}];
  try {
    await s.post(path, body);
  } catch (error) {
    if (!(error instanceof Error) || !expected.test(error.message)) throw error;
  }
}

/** Nodes work at the same time, round after round; whatever they did, all is sound after each. */
async function storm(t: ExecutionContext, rounds: number, options: SimulatorOptions): Promise<Session> {
  const s = await session(t, { ...options, behaviour: { syncDelayMs: 1, ...options.behaviour } });
  const random = randomFrom(options.seed ?? 1);
  for (let round = 0; round < rounds; round++) {
    await Promise.all([11, 12, 11, 12].map((client) => step(s, client, random)));
    for (const client of [11, 12]) await s.get(`ClientConfigWait/${client}`);
    t.deepEqual(s.sim.check({ sharedRw: true }), [], `round ${round}`);
  }
  const outcomes = new Set(s.sim.journal.entries.map(({ request, outcome }) => `${request} ${outcome}`));
  t.true(outcomes.has("VolumeCreate ok") && outcomes.has("VolumesReassignWait ok"));
  return s;
}

test("random requests of two nodes never break an invariant: records only", async (t) => {
  const s = await storm(t, 150, { seed: 11 });
  const done = new Set(
    s.sim.journal.entries.filter(({ outcome }) => outcome === "ok").map((at) => at.request),
  );
  for (const request of [
    "VolumeRevert",
    "VolumeFreeze",
    "SnapshotDelete",
    "VolumesGroupSnapshot",
    "VolumeRebase",
  ])
    t.true(done.has(request), request);
});

test("random requests of two nodes never break an invariant: with files", async (t) => {
  const data = mkdtempSync(join(tmpdir(), "blockio-storpool-"));
  t.teardown(() => rmSync(data, { recursive: true, force: true }));
  await storm(t, 25, { seed: 12, data });
});

const maybe = process.getuid?.() === 0 ? test : test.skip;

maybe("random requests of two nodes never break an invariant: with loop devices (needs root)", async (t) => {
  const top = mkdtempSync(join(tmpdir(), "blockio-storpool-"));
  t.teardown(() => rmSync(top, { recursive: true, force: true }));
  const [data, devices] = [join(top, "data"), join(top, "dev")];
  await storm(t, 25, { seed: 13, data, devices, behaviour: { linkDelayMs: 3, unlinkDelayMs: 3 } });
});

test("two nodes that choose a disk number at once get the same number and different global ids", async (t) => {
  const s = await session(t);
  const choose = async () => {
    const taken = (await s.get("VolumesList")).map((row) => Number((row["tags"] as Row)["pve-disk"]));
    return s.volume({ tags: { "pve-vm": "100", "pve-disk": String(Math.max(-1, ...taken) + 1) } });
  };
  const [first, second] = await Promise.all([choose(), choose()]);
  t.not(first, second);
  const disks = (await s.get("VolumesList")).map((row) => (row["tags"] as Row)["pve-disk"]);
  t.deepEqual(disks, ["0", "0"]);
});

test("of two takeovers at once one wins, and nobody is left with half of it", async (t) => {
  const s = await session(t);
  const volume = await s.volume();
  for (let n = 0; n < 20; n++) {
    const take = (client: number) =>
      s.reassign({ volume: `~${volume}`, rw: [client], detach: "all", force: true });
    await Promise.all([take(11), take(12)]);
    const rows = await s.get("AttachmentsList");
    t.is(rows.length, 1);
    t.deepEqual(
      [11, 12].filter((client) => s.sim.device(client, volume)),
      [rows[0]?.["client"]],
    );
    t.deepEqual(s.sim.check(), []);
  }
});
