// SPDX-License-Identifier: AGPL-3.0-or-later
import test, { type ExecutionContext } from "ava";
import type { VolumeRef } from "../../../src/arrays/contract.js";
import { codeOf } from "../../../src/common/errors.js";
import { type Differs, guestOn, mib, type NodeName, Nodes, noGuest, refOf } from "./nodes.js";

/** Three satellites, of which the first two have the replicas. */
const cluster = { pools: [{ name: "ssd", nodes: ["pve1", "pve2"] }] };

let last = 100;

/** A guest that runs on pve1: its disk is attached there and open. */
async function running(
  t: ExecutionContext,
  differs: Differs = {},
): Promise<{ n: Nodes; disk: VolumeRef; vmid: number }> {
  const n = await Nodes.start(t, { simulator: cluster, ...differs });
  const vmid = last++;
  const disk = await n.disk(`vm-${vmid}-disk-0`);
  guestOn("pve1", vmid);
  await n.at("pve1").attach(n.ctx, disk, undefined);
  n.sim.setOpen("pve1", disk.name, "write");
  return { n, disk, vmid };
}

/** Brings it to the middle of its migration: both nodes have the disk, both QEMUs have it open. */
async function migrating(t: ExecutionContext, to: NodeName = "pve2", differs: Differs = {}) {
  const { n, disk, vmid } = await running(t, differs);
  guestOn("pve1", vmid, "lock: migrate\n");
  await n.at(to).attach(n.ctx, disk, undefined);
  n.sim.setOpen(to, disk.name, "write");
  t.deepEqual(n.sim.check({ migrating: true }), []);
  return { n, disk, vmid };
}

/** The controller knows at once that a device was closed, or a moment later. */
const news = [
  { way: "", differs: {} },
  {
    way: ", although LINSTOR hears late of what was closed",
    differs: {
      simulator: { ...cluster, behaviour: { inUseDelayMs: 300 } },
      options: { patience: { closingMs: 5_000 } },
    },
  },
] as const;

for (const { way, differs } of news) {
  for (const to of ["pve2", "pve3"] as const) {
    test(`a live migration to ${to} may write on both nodes while it lasts, and on no other${way}`, async (t) => {
      const { n, disk, vmid } = await migrating(t, to, differs);
      t.is(n.twoPrimaries(disk.name).length, 1);
      t.regex(n.twoPrimaries(disk.name)[0] ?? "", new RegExp(to, "i"));
      t.is(n.props(disk.name)["DrbdOptions/Net/allow-two-primaries"], undefined);
      guestOn(to, vmid, "lock: migrate\n");
      n.sim.setOpen("pve1", disk.name, "closed");
      await n.at("pve1").detach(n.ctx, disk, undefined);
      t.deepEqual(n.twoPrimaries(disk.name), []);
      guestOn(to, vmid);
      await n.at(to).attach(n.ctx, disk, undefined);
      t.deepEqual(n.sim.check(), []);
    });
  }

  test(`a migration that failed leaves the source alone with the disk${way}`, async (t) => {
    const { n, disk, vmid } = await migrating(t, "pve3", differs);
    n.sim.setOpen("pve3", disk.name, "closed");
    await n.at("pve3").detach(n.ctx, disk, undefined);
    guestOn("pve1", vmid);
    t.deepEqual(n.twoPrimaries(disk.name), []);
    t.is(n.placed(disk.name)["pve3"], "tie-breaker", "as before");
    t.deepEqual(n.sim.check(), []);
  });

  test(`a source without replica keeps nothing of a volume that has migrated away${way}`, async (t) => {
    const { n, disk, vmid } = await migrating(t, "pve3", differs);
    guestOn("pve3", vmid, "lock: migrate\n");
    n.sim.setOpen("pve1", disk.name, "closed");
    await n.at("pve1").detach(n.ctx, disk, undefined);
    await n.at("pve2").attach(n.ctx, disk, undefined);
    n.sim.setOpen("pve2", disk.name, "write");
    guestOn("pve2", vmid, "lock: migrate\n");
    n.sim.setOpen("pve3", disk.name, "closed");
    await n.at("pve3").detach(n.ctx, disk, undefined);
    t.is(n.placed(disk.name)["pve3"], "tie-breaker");
    t.deepEqual(n.sim.check(), []);
  });
}

test("a volume that LINSTOR keeps taking for open is deactivated all the same", async (t) => {
  const { n, disk, vmid } = await migrating(t, "pve2", {
    simulator: { ...cluster, behaviour: { inUseDelayMs: 60_000 } },
  });
  guestOn("pve2", vmid, "lock: migrate\n");
  n.sim.setOpen("pve1", disk.name, "closed");
  await n.at("pve1").detach(n.ctx, disk, undefined);
  t.deepEqual(n.twoPrimaries(disk.name), []);
  t.true(n.lines.some((line) => line.includes("that nobody has open")));
});

test("what a migration that was cut off has left goes with the next start", async (t) => {
  const { n, disk, vmid } = await migrating(t);
  // Neither side was deactivated.
  guestOn("pve1", vmid);
  for (const node of ["pve1", "pve2"]) n.sim.setOpen(node, disk.name, "closed");
  await n.at("pve1").attach(n.ctx, disk, undefined);
  t.deepEqual(n.twoPrimaries(disk.name), []);
});

test("a guest that runs elsewhere and is not migrated is not started a second time", async (t) => {
  const { n, disk, vmid } = await running(t);
  const error = await t.throwsAsync(() => n.at("pve2").attach(n.ctx, disk, undefined));
  t.is(codeOf(error), "refused");
  t.regex(error?.message ?? "", /in use on node pve1, and its guest belongs to node 'pve1'/);
  guestOn("pve2", vmid);
  const busy = await t.throwsAsync(() => n.at("pve2").attach(n.ctx, disk, undefined));
  t.is(codeOf(busy), "busy");
  t.deepEqual(n.twoPrimaries(disk.name), []);
  n.sim.setOpen("pve1", disk.name, "closed");
  await n.at("pve2").attach(n.ctx, disk, undefined);
});

test("a guest is taken over from a node that died", async (t) => {
  const { n, disk, vmid } = await running(t);
  await n.sim.setNode("pve1", false);
  guestOn("pve2", vmid);
  await n.at("pve2").attach(n.ctx, disk, undefined);
  t.deepEqual(n.twoPrimaries(disk.name), []);
});

for (const { way, owner } of [
  { way: "of no guest at all", owner: false },
  { way: "of another guest", owner: true },
]) {
  test(`a guest with a disk whose name is that ${way} is migrated live`, async (t) => {
    const { n, disk, vmid: named } = await running(t);
    const user = named + 5_000;
    if (!owner) noGuest(named);
    const config = (lock: string, volume = `linstor:${disk.volname}`) =>
      `scsi1: file=${volume},size=8M\n${lock}[before]\nlock: migrate\nscsi2: linstor:${disk.volname}\n`;
    const outcome = async () => {
      await n.at("pve2").attach(n.ctx, disk, undefined);
      return n.twoPrimaries(disk.name).length;
    };
    const not = async (why: string) => {
      if (!owner) t.is(await outcome(), 0, why);
      else t.is(codeOf(await t.throwsAsync(outcome)), "refused", why);
      t.deepEqual(n.twoPrimaries(disk.name), [], why);
    };
    guestOn("pve1", user, config(""));
    await not("it is not being migrated");
    guestOn("pve1", user, config("lock: migrate\n", "linstor:vm-1-disk-0"));
    await not("another disk is");
    guestOn("pve1", user, config("lock: migrate\n", `other:${disk.volname}`));
    await not("another storage's disk is");
    guestOn("pve3", user, config("lock: migrate\n"));
    await not("no guest of the node that has it open");
    guestOn("pve1", user, config("lock: migrate\n"));
    t.is(await outcome(), 1);
    n.sim.setOpen("pve2", disk.name, "write");
    t.deepEqual(n.sim.check({ migrating: true }), []);
    guestOn("pve2", user, config("lock: migrate\n"));
    n.sim.setOpen("pve1", disk.name, "closed");
    await n.at("pve1").detach(n.ctx, disk, undefined);
    t.deepEqual(n.sim.check(), []);
  });
}

test("without allowtwoprimaries there is no live migration, and nobody may write twice", async (t) => {
  const { n, disk, vmid } = await running(t, { section: { allowtwoprimaries: "no" } });
  guestOn("pve1", vmid, "lock: migrate\n");
  const error = await t.throwsAsync(() => n.at("pve2").attach(n.ctx, disk, undefined));
  t.is(codeOf(error), "refused");
  t.regex(error?.message ?? "", /allowtwoprimaries/);
  t.deepEqual(n.twoPrimaries(disk.name), []);
});

test("a base that is read on one node is read on another one too", async (t) => {
  const n = await Nodes.start(t, { simulator: cluster });
  const vmid = last++;
  const disk = await n.disk(`vm-${vmid}-disk-0`);
  const base = await n.at("pve1").driver.makeBase(n.ctx, disk, refOf(`base-${vmid}-disk-0`));
  guestOn("pve1", vmid, "template: 1\n");
  await n.at("pve1").attach(n.ctx, base, undefined);
  n.sim.setOpen("pve1", disk.name, "read");
  await n.at("pve2").attach(n.ctx, base, undefined);
  t.deepEqual(n.twoPrimaries(disk.name), []);
});

test("what the vendor's plugin allows for good is taken off when nobody needs it", async (t) => {
  const n = await Nodes.start(t, { simulator: cluster });
  const disk = await n.disk();
  const { props } = n.sim.state.definition(disk.name);
  props["DrbdOptions/Net/allow-two-primaries"] = "yes";
  await n.at("pve1").attach(n.ctx, disk, undefined);
  t.is(n.props(disk.name)["DrbdOptions/Net/allow-two-primaries"], undefined);
});

test("a node without replica gets the tie-breaker as its own, and gives it back", async (t) => {
  const n = await Nodes.start(t, { simulator: cluster });
  const disk = await n.disk();
  t.deepEqual(n.placed(disk.name), { pve1: "diskful", pve2: "diskful", pve3: "tie-breaker" });
  await n.at("pve3").attach(n.ctx, disk, undefined);
  t.is(n.placed(disk.name)["pve3"], "diskless");
  for (let time = 0; time < 2; time++) {
    await n.at("pve3").detach(n.ctx, disk, undefined);
    t.is(n.placed(disk.name)["pve3"], "tie-breaker", "also when PVE deactivates twice");
  }
  await n.at("pve1").detach(n.ctx, disk, undefined);
  t.is(n.placed(disk.name)["pve1"], "diskful", "a replica stays");
});

test("asking for a path, a size or a list deploys nothing", async (t) => {
  const n = await Nodes.start(t, { simulator: { ...cluster, nodes: ["pve1", "pve2", "pve3", "pve4"] } });
  const disk = await n.disk();
  await n.at("pve1").driver.createSnapshot(n.ctx, disk, "s1");
  const before = n.placed(disk.name);
  const storage = n.at("pve3");
  await storage.path(n.ctx, disk, undefined);
  await storage.driver.getVolume(n.ctx, disk);
  await storage.driver.listVolumes(n.ctx);
  await storage.driver.listSnapshots(n.ctx, disk);
  await t.throwsAsync(() => storage.path(n.ctx, disk, "s1"));
  t.deepEqual(n.placed(disk.name), before);
  t.deepEqual(n.definitions(), [disk.name]);
});

test("a volume that is open anywhere is not freed, renamed, made a base or rolled back", async (t) => {
  const { n, disk, vmid } = await running(t);
  await n.at("pve1").driver.createSnapshot(n.ctx, disk, "s1");
  const { driver } = n.at("pve2");
  const to = refOf(`vm-${vmid + 1000}-disk-0`);
  const base = refOf(disk.name.replace("vm-", "base-"));
  for (const verb of [
    () => driver.deleteVolume(n.ctx, disk),
    () => driver.rollback(n.ctx, disk, "s1"),
    () => driver.makeBase(n.ctx, disk, base),
  ])
    t.is(codeOf(await t.throwsAsync(verb)), "busy");
  await driver.deleteSnapshot(n.ctx, disk, "s1");
  t.is(codeOf(await t.throwsAsync(() => driver.renameVolume(n.ctx, disk, to))), "busy");
  t.deepEqual(n.definitions(), [disk.name]);
});

test("a node that does not answer may have the volume open; one that only breaks ties has not", async (t) => {
  const n = await Nodes.start(t, { simulator: cluster });
  const disk = await n.disk();
  await n.at("pve1").driver.createSnapshot(n.ctx, disk, "s1");
  await n.sim.setNode("pve2", false);
  const { driver } = n.at("pve1");
  const error = await t.throwsAsync(() => driver.rollback(n.ctx, disk, "s1"));
  t.is(codeOf(error), "unreachable");
  t.regex(error?.message ?? "", /node pve2 does not answer .*linstor node lost/);
  await n.sim.setNode("pve2", true);
  await n.sim.setNode("pve3", false);
  t.true(await driver.deleteVolume(n.ctx, disk));
});

test("a volume is freed while a node that is cut off from it is away, and goes there when it is back", async (t) => {
  const n = await Nodes.start(t);
  const vmid = last++;
  const disk = await n.disk(`vm-${vmid}-disk-0`);
  guestOn("pve1", vmid);
  const [away = ""] = Object.entries(n.placed(disk.name)).flatMap(([node, kind]) =>
    node !== "pve1" && kind === "diskful" ? [node] : [],
  );
  await n.sim.setNode(away, false);
  const { driver } = n.at("pve1");
  t.true(await driver.deleteVolume(n.ctx, disk));
  t.false(await driver.deleteVolume(n.ctx, disk), "it is gone for PVE");
  t.deepEqual(await driver.listVolumes(n.ctx), []);
  const next = await n.disk(disk.name);
  t.is(next.name, disk.name, "its name is free");
  t.deepEqual(
    (await driver.listVolumes(n.ctx)).map(({ ref }) => ref.name),
    [disk.name],
  );
  await n.sim.setNode(away, true);
  t.is(n.definitions().length, 1);
  t.deepEqual(n.sim.check(), []);
  t.true(await driver.deleteVolume(n.ctx, next));
});

/** Why a node that does not answer may still have a volume. */
const doubts: Record<string, (n: Nodes, disk: VolumeRef) => Promise<void>> = {
  "whose satellite alone is down": (n) => n.sim.setNode("pve2", false, undefined, true),
  "that has its guest": async (n, { vmid }) => {
    guestOn("pve2", vmid);
    await n.sim.setNode("pve2", false);
  },
  "that has another guest with it": async (n, { volname }) => {
    guestOn("pve2", last++, `scsi1: other:${volname},size=8M\n`);
    await n.sim.setNode("pve2", false);
  },
  "that has the only good replica": async (n, { name }) => {
    const volume = n.sim.state.definition(name).resources.get("pve1")?.volumes.get(0);
    if (volume) volume.synced = false;
    await n.sim.setNode("pve2", false);
  },
};
for (const [what, prepare] of Object.entries(doubts)) {
  test(`a volume is not freed while a node is away ${what}`, async (t) => {
    const n = await Nodes.start(t, { simulator: cluster });
    const disk = await n.disk(`vm-${last++}-disk-0`);
    await prepare(n, disk);
    const error = await t.throwsAsync(() => n.at("pve1").driver.deleteVolume(n.ctx, disk));
    t.is(codeOf(error), "unreachable");
    t.regex(error?.message ?? "", /node pve2 does not answer and may have it open/);
    t.false(n.sim.state.definition(disk.name).deleting);
  });
}

test("a volume keeps all its snapshots while a node with a copy of one is away", async (t) => {
  const n = await Nodes.start(t, { simulator: cluster });
  const disk = await n.disk(`vm-${last++}-disk-0`);
  const { driver } = n.at("pve1");
  for (const snap of ["s1", "s2"]) await driver.createSnapshot(n.ctx, disk, snap);
  await n.sim.setNode("pve2", false);
  const error = await t.throwsAsync(() => driver.deleteVolume(n.ctx, disk));
  t.is(codeOf(error), "unreachable");
  t.regex(error?.message ?? "", /node pve2 has a copy of snapshot '\S+' and does not answer; .*node lost/);
  t.is(n.snapshots().length, 2);
  await n.sim.setNode("pve2", true);
  t.true(await driver.deleteVolume(n.ctx, disk));
});

test("two nodes that make disks of one guest at once get different ones", async (t) => {
  const n = await Nodes.start(t);
  const { allocImage } = await import("../../../src/plugin/alloc.js");
  const make = (node: NodeName) =>
    allocImage(n.at(node), n.ctx, { vmid: 900, format: "raw", name: null, size: 4n * mib });
  const made = await Promise.all(
    (["pve1", "pve2", "pve3", "pve1", "pve2", "pve3"] as const).map((node) => make(node)),
  );
  t.deepEqual(
    made.map(({ name }) => name).sort(),
    [0, 1, 2, 3, 4, 5].map((index) => `vm-900-disk-${index}`),
  );
  t.deepEqual(n.sim.check(), []);
});

test("of two nodes that ask for one name one gets it", async (t) => {
  const n = await Nodes.start(t);
  const ask = (node: NodeName) => n.at(node).driver.createVolume(n.ctx, refOf("vm-901-cloudinit"), 4n * mib);
  const results = await Promise.allSettled([ask("pve1"), ask("pve2"), ask("pve3")]);
  t.is(results.filter(({ status }) => status === "fulfilled").length, 1);
  for (const result of results) if (result.status === "rejected") t.is(codeOf(result.reason), "exists");
  t.deepEqual(n.definitions(), ["vm-901-cloudinit"]);
});

test("two nodes read one snapshot, each by a copy of its own that goes with its use", async (t) => {
  const n = await Nodes.start(t, { simulator: cluster });
  const disk = await n.disk();
  await n.at("pve1").driver.createSnapshot(n.ctx, disk, "s1");
  await n.at("pve1").attach(n.ctx, disk, "s1");
  await n.at("pve3").attach(n.ctx, disk, "s1");
  t.is(n.definitions().length, 3);
  for (const name of n.definitions().filter((one) => one !== disk.name)) {
    const kinds = Object.values(n.placed(name));
    t.is(kinds.filter((kind) => kind === "diskful").length, 1, "on one node only");
    t.is(n.sim.state.definition(name).group.name, "pve-blockio-exports");
  }
  await n.at("pve3").detach(n.ctx, disk, "s1");
  t.is(n.definitions().length, 2);
  await n.at("pve1").detach(n.ctx, disk, "s1");
  t.deepEqual(n.definitions(), [disk.name]);
});
