// SPDX-License-Identifier: AGPL-3.0-or-later
import { setTimeout as sleep } from "node:timers/promises";
import test from "ava";
import { keys } from "../../../src/arrays/linstor/names.js";
import { codeOf } from "../../../src/common/errors.js";
import { eventually } from "../../eventually.js";
import { clusterFile, mib, Nodes, refOf } from "./nodes.js";

test("a volume with snapshots, one of which was read and never given back, leaves nothing", async (t) => {
  const n = await Nodes.start(t);
  const disk = await n.disk();
  const { driver } = n.at("pve1");
  for (const snap of ["one", "Two", "x".repeat(40)]) await driver.createSnapshot(n.ctx, disk, snap);
  await driver.publish(n.ctx, disk, "Two", { name: "pve1" });
  t.is(n.snapshots().length, 3);
  t.true(await driver.deleteVolume(n.ctx, disk));
  t.deepEqual([n.definitions(), n.snapshots()], [[], []]);
  t.deepEqual(n.sim.check(), []);
});

test("snapshots of others and the vendor's copies of them go with the volume", async (t) => {
  const n = await Nodes.start(t);
  const disk = await n.disk();
  const ask = async (path: string, body: object) => {
    const answer = await fetch(`${n.sim.urls[0]}/v1/${path}`, { method: "POST", body: JSON.stringify(body) });
    t.true(answer.ok, await answer.text());
  };
  const copy = `snap_${disk.name}_vzdump`;
  await ask(`resource-definitions/${disk.name}/snapshots`, { name: copy });
  await ask(`resource-definitions/${disk.name}/snapshots`, { name: "back_2026" });
  await ask("resource-definitions", { resource_definition: { name: copy } });
  await ask(`resource-definitions/${disk.name}/snapshot-restore-volume-definition/${copy}`, {
    to_resource: copy,
  });
  await ask(`resource-definitions/${disk.name}/snapshot-restore-resource/${copy}`, { to_resource: copy });
  const { driver } = n.at("pve1");
  t.deepEqual(
    (await driver.listVolumes(n.ctx)).map(({ ref }) => ref.name),
    [disk.name],
  );
  t.deepEqual(
    (await driver.listSnapshots(n.ctx, disk)).map(({ name }) => name),
    ["vzdump"],
  );
  t.true(await driver.deleteVolume(n.ctx, disk));
  t.deepEqual([n.definitions(), n.snapshots()], [[], []]);
});

test("volumes of the vendor's newer kind are listed, handed over, snapshotted and freed", async (t) => {
  const n = await Nodes.start(t);
  const spawn = await fetch(`${n.sim.urls[0]}/v1/resource-groups/rg1/spawn`, {
    method: "POST",
    body: JSON.stringify({
      resource_definition_name: "pm-1a2b3c4d",
      volume_sizes: [8192],
      resource_definition_props: { [keys.vmid]: "100" },
    }),
  });
  t.true(spawn.ok);
  const { driver } = n.at("pve1");
  const old = refOf("pm-1a2b3c4d_100");
  t.deepEqual(
    (await driver.listVolumes(n.ctx, 100)).map(({ ref }) => ref.volname),
    [old.volname],
  );
  const given = await driver.renameVolume(n.ctx, old, refOf("vm-101-disk-0"));
  t.is(given.volname, "pm-1a2b3c4d_101");
  t.is((await driver.renameVolume(n.ctx, old, refOf("vm-101-disk-0"))).volname, given.volname, "repeated");
  t.is(n.props("pm-1a2b3c4d")[keys.vmid], "101");
  t.is(codeOf(await t.throwsAsync(() => driver.getVolume(n.ctx, old))), "absent");
  await driver.createSnapshot(n.ctx, given, "s1");
  t.deepEqual(n.snapshots(), ["pm-1a2b3c4d@snap_pm-1a2b3c4d_s1"]);
  await driver.deleteSnapshot(n.ctx, given, "s1");
  const base = await driver.makeBase(n.ctx, given, refOf("base-101-pm-1a2b3c4d"));
  const clone = await driver.cloneVolume(n.ctx, base, undefined, refOf("vm-102-disk-0"));
  t.is((await driver.getVolume(n.ctx, clone)).parent, base.volname);
  t.is(codeOf(await t.throwsAsync(() => driver.deleteVolume(n.ctx, base))), "busy");
  t.true(await driver.deleteVolume(n.ctx, clone));
  t.true(await driver.deleteVolume(n.ctx, base));
  t.deepEqual(n.definitions(), []);
});

test("a RAM snapshot in capitals and one in small letters are two volumes", async (t) => {
  const n = await Nodes.start(t);
  const { driver } = n.at("pve1");
  const names = ["vm-100-state-Before", "vm-100-state-before", `vm-100-state-${"L".repeat(40)}`];
  for (const name of names) await driver.createVolume(n.ctx, refOf(name), 4n * mib);
  t.deepEqual((await driver.listVolumes(n.ctx)).map(({ ref }) => ref.name).sort(), [...names].sort());
  for (const name of n.definitions()) t.true(name.length <= 48, name);
  for (const name of names) {
    t.is((await driver.getVolume(n.ctx, refOf(name))).ref.name, name);
    const again = await t.throwsAsync(() => driver.createVolume(n.ctx, refOf(name), 4n * mib));
    t.is(codeOf(again), "exists");
  }
  t.true(await driver.deleteVolume(n.ctx, refOf("vm-100-state-Before")));
  t.is((await driver.getVolume(n.ctx, refOf("vm-100-state-before"))).ref.name, "vm-100-state-before");
  for (const name of names.slice(1)) t.true(await driver.deleteVolume(n.ctx, refOf(name)));
  t.deepEqual(n.definitions(), []);
});

test("snapshots that differ in case only are two", async (t) => {
  const n = await Nodes.start(t);
  const disk = await n.disk();
  const { driver } = n.at("pve1");
  await driver.createSnapshot(n.ctx, disk, "Test");
  await driver.createSnapshot(n.ctx, disk, "test");
  t.deepEqual((await driver.listSnapshots(n.ctx, disk)).map(({ name }) => name).sort(), ["Test", "test"]);
  await driver.deleteSnapshot(n.ctx, disk, "test");
  t.deepEqual(
    (await driver.listSnapshots(n.ctx, disk)).map(({ name }) => name),
    ["Test"],
  );
});

test("a name of another group's volume is no obstacle", async (t) => {
  const n = await Nodes.start(t, { simulator: { groups: ["rg1", "rg2"] } });
  const other = n.at("pve1", { resourcegroup: "rg2" }, "other");
  const name = refOf("vm-100-cloudinit");
  await n.disk(name.name);
  await other.driver.createVolume(n.ctx, name, 4n * mib);
  t.is(n.definitions().length, 2);
  t.is((await other.driver.listVolumes(n.ctx)).length, 1);
  t.true(await other.driver.deleteVolume(n.ctx, name));
  t.deepEqual(n.definitions(), [name.name]);
});

test("a creation that cannot be placed leaves nothing, and its name is free", async (t) => {
  const n = await Nodes.start(t, { simulator: { nodes: ["pve1", "pve2"] } });
  await n.sim.setNode("pve2", false);
  const error = await t.throwsAsync(() => n.disk());
  t.is(codeOf(error), "no-space");
  t.deepEqual(n.definitions(), []);
  await n.sim.setNode("pve2", true);
  await n.disk();
});

test("what a creation that was cut off has left is no volume, and goes when its name is wanted", async (t) => {
  const n = await Nodes.start(t);
  const disk = await n.disk();
  const { props } = n.sim.state.definition(disk.name);
  const { driver } = n.at("pve1");
  props[keys.request] = `${disk.name} pve1 1 left-behind`;
  t.deepEqual(await driver.listVolumes(n.ctx), []);
  t.is(codeOf(await t.throwsAsync(() => driver.getVolume(n.ctx, disk))), "absent");
  await n.disk();
  t.is((await driver.listVolumes(n.ctx)).length, 1);
  const now = Math.floor(Date.now() / 1000);
  n.sim.state.definition(disk.name).props[keys.request] = `${disk.name} pve2 ${now} under-way`;
  t.is(codeOf(await t.throwsAsync(() => n.disk())), "exists", "another node may be about it");
  t.true(await driver.deleteVolume(n.ctx, disk), "it can be freed by its name");
  t.deepEqual(n.definitions(), []);
});

test("a creation that LINSTOR carries out when nobody waits for it any more does not stay", async (t) => {
  const n = await Nodes.start(t, {
    options: { limits: { commandMs: 1_500, pausesMs: [] }, patience: { undoMs: 30_000 } },
  });
  n.sim.inject({ kind: "delay", ms: 3_000, on: "spawn" });
  const error = await t.throwsAsync(() => n.disk());
  t.is(codeOf(error), "timeout");
  t.true(await eventually(() => n.definitions().length > 0));
  t.true(await eventually(() => n.definitions().length === 0));
  t.deepEqual(n.sim.check(), []);
});

test("a creation of which only the last answer is lost does not stay either", async (t) => {
  const n = await Nodes.start(t, {
    options: { limits: { pausesMs: [] }, patience: { undoMs: 30_000 } },
  });
  const lost = async (make: () => Promise<unknown>) => {
    // The last change is the one that finishes a volume.
    n.sim.inject({ kind: "reset-after", on: "definitionModify" });
    t.is(codeOf(await t.throwsAsync(make)), "unreachable");
    t.deepEqual(n.sim.faults.pending, [], "it was made");
    t.true(await eventually(() => n.definitions().length === before));
  };
  let before = 0;
  await lost(() => n.disk());
  const disk = await n.disk();
  before = 1;
  const { driver } = n.at("pve1");
  await driver.createSnapshot(n.ctx, disk, "s1");
  await lost(() => driver.cloneVolume(n.ctx, disk, "s1", refOf("vm-101-disk-0")));
  t.deepEqual(n.sim.check(), []);
});

for (const { what, copy } of [
  {
    what: "a snapshot that is read",
    copy: (n: Nodes) => n.at("pve1").attach(n.ctx, refOf("vm-100-disk-0"), "s1"),
  },
  {
    what: "a linked clone",
    copy: (n: Nodes) =>
      n.at("pve1").driver.cloneVolume(n.ctx, refOf("vm-100-disk-0"), "s1", refOf("vm-101-disk-0")),
  },
])
  test(`${what} has its own time to be copied, and nothing of it stays when that is over`, async (t) => {
    const limits = { commandMs: 15_000, pausesMs: [] };
    const n = await Nodes.start(t, {
      options: { limits, patience: { copyMs: 5_000, undoMs: 15_000 } },
    });
    const disk = await n.disk();
    await n.at("pve1").driver.createSnapshot(n.ctx, disk, "s1");
    n.sim.inject({ kind: "delay", ms: 7_000, on: "restoreResource" });
    t.is(codeOf(await t.throwsAsync(() => copy(n))), "timeout");
    t.true(await eventually(() => n.definitions().length === 1));
    t.deepEqual(n.definitions(), [disk.name]);
    await sleep(3_000);
    t.deepEqual(n.sim.check(), [], "what comes late finds nothing to fill");
    await copy(n);
    t.is(n.definitions().length, 2);
  });

test("a caller that goes away gets its volume taken back", async (t) => {
  const n = await Nodes.start(t, { simulator: { behaviour: { mutationMs: 100 } } });
  const { allocImage } = await import("../../../src/plugin/alloc.js");
  const gone = new AbortController();
  const ctx = { ...n.ctx, signal: gone.signal };
  const made = allocImage(n.at("pve1"), ctx, { vmid: 100, format: "raw", name: null, size: 4n * mib });
  setTimeout(() => gone.abort(new Error("gone")), 150);
  await t.throwsAsync(made);
  t.deepEqual(n.definitions(), []);
});

test("snapshots of all disks of a guest are taken at one instant, and each is PVE's when PVE asks", async (t) => {
  const n = await Nodes.start(t);
  const disks = [await n.disk("vm-300-disk-0"), await n.disk("vm-300-disk-1"), await n.disk("vm-300-disk-2")];
  const lines = disks.slice(0, 2).map(({ volname }, index) => `scsi${index}: linstor:${volname},size=8M`);
  const config = (time: number) =>
    `lock: snapshot\n${lines.join("\n")}\n\n[s1]\nsnapstate: prepare\nsnaptime: ${time}\n${lines.join("\n")}\n`;
  clusterFile("nodes/pve1/qemu-server/300.conf", config(1_700_000_000));
  const { driver } = n.at("pve1");
  const [first = refOf(""), second = refOf(""), third = refOf("")] = disks;
  const names = async (ref: typeof first) => (await driver.listSnapshots(n.ctx, ref)).map(({ name }) => name);
  await driver.createSnapshot(n.ctx, first, "s1");
  t.is(n.snapshots().length, 2, "of those in the configuration");
  t.deepEqual([await names(first), await names(second), await names(third)], [["s1"], [], []]);
  await driver.createSnapshot(n.ctx, second, "s1");
  t.deepEqual(await names(second), ["s1"]);
  t.is(n.requests().filter((name) => name === "multiSnapshot").length, 1);
  for (const disk of [first, second]) await driver.deleteSnapshot(n.ctx, disk, "s1");
  // An attempt that got no further than the first disk is not taken for the next one.
  await driver.createSnapshot(n.ctx, first, "s1");
  await driver.deleteSnapshot(n.ctx, first, "s1");
  t.deepEqual(n.snapshots(), [], "what waited goes as well");
  await driver.createSnapshot(n.ctx, first, "s1");
  clusterFile("nodes/pve1/qemu-server/300.conf", config(1_700_000_100));
  await driver.deleteSnapshot(n.ctx, first, "s1");
  await driver.createSnapshot(n.ctx, first, "s1");
  await driver.createSnapshot(n.ctx, second, "s1");
  t.deepEqual([await names(first), await names(second)], [["s1"], ["s1"]]);
  t.is(n.snapshots().length, 2);
});

test("a snapshot's name is free again while a node that does not answer still has the old one", async (t) => {
  const n = await Nodes.start(t, { simulator: { nodes: ["pve1", "pve2"] } });
  const disks = [await n.disk("vm-301-disk-0"), await n.disk("vm-301-disk-1")];
  const [first = refOf(""), second = refOf("")] = disks;
  const { driver } = n.at("pve1");
  const names = async (ref: typeof first) => (await driver.listSnapshots(n.ctx, ref)).map(({ name }) => name);
  const lines = disks.map(({ volname }, index) => `scsi${index}: linstor:${volname},size=8M`).join("\n");
  const prepare = (time: number) =>
    clusterFile(
      "nodes/pve1/qemu-server/301.conf",
      `lock: snapshot\n${lines}\n\n[daily]\nsnapstate: prepare\nsnaptime: ${time}\n${lines}\n`,
    );
  prepare(1_700_000_000);
  for (const disk of disks) await driver.createSnapshot(n.ctx, disk, "daily");
  await n.sim.setNode("pve2", false);
  for (let day = 1; day < 4; day++) {
    for (const disk of disks) await driver.deleteSnapshot(n.ctx, disk, "daily");
    t.deepEqual([await names(first), await names(second)], [[], []]);
    prepare(1_700_000_000 + day);
    for (const disk of disks) await driver.createSnapshot(n.ctx, disk, "daily");
    t.deepEqual([await names(first), await names(second)], [["daily"], ["daily"]], `day ${day}`);
    t.is(n.requests().filter((name) => name === "multiSnapshot").length, day + 1, "at one instant");
  }
  t.is(n.snapshots().length, 4, "the first ones still wait for their node");
  await n.sim.setNode("pve2", true);
  t.is(n.snapshots().length, 2);
  t.deepEqual([await names(first), await names(second)], [["daily"], ["daily"]]);
  await driver.rollback(n.ctx, first, "daily");
  for (const disk of disks) t.true(await driver.deleteVolume(n.ctx, disk));
  t.deepEqual(n.sim.check(), []);
});

test("a snapshot is read again while a node that does not answer still has an earlier copy of it", async (t) => {
  const n = await Nodes.start(t, { simulator: { pools: [{ name: "ssd", nodes: ["pve1", "pve2"] }] } });
  const disk = await n.disk();
  await n.at("pve1").driver.createSnapshot(n.ctx, disk, "s1");
  const reader = n.at("pve3");
  await reader.attach(n.ctx, disk, "s1");
  const [copy = ""] = n.definitions().filter((name) => name !== disk.name);
  const [away = ""] = Object.entries(n.placed(copy)).flatMap(([node, kind]) =>
    kind === "diskful" ? [node] : [],
  );
  await n.sim.setNode(away, false);
  await reader.detach(n.ctx, disk, "s1");
  t.is(codeOf(await t.throwsAsync(() => reader.path(n.ctx, disk, "s1"))), "absent");
  await reader.attach(n.ctx, disk, "s1");
  t.is(n.definitions().length, 3);
  await n.sim.setNode(away, true);
  t.is(n.definitions().length, 2);
  t.false(n.definitions().includes(copy));
  await reader.path(n.ctx, disk, "s1");
  t.deepEqual(n.sim.check(), []);
  await reader.detach(n.ctx, disk, "s1");
  t.deepEqual(n.definitions(), [disk.name]);
});

test("what an attempt to take all snapshots together has left to a silent node is not taken for one", async (t) => {
  const n = await Nodes.start(t, { simulator: { nodes: ["pve1", "pve2"] } });
  const disks = [await n.disk("vm-302-disk-0"), await n.disk("vm-302-disk-1")];
  const { driver } = n.at("pve1");
  const lines = disks.map(({ volname }, index) => `scsi${index}: linstor:${volname},size=8M`).join("\n");
  clusterFile(
    "nodes/pve1/qemu-server/302.conf",
    `lock: snapshot\n${lines}\n\n[s1]\nsnapstate: prepare\nsnaptime: 1700000000\n${lines}\n`,
  );
  const [first = refOf(""), second = refOf("")] = disks;
  await driver.createSnapshot(n.ctx, first, "s1");
  await n.sim.setNode("pve2", false);
  // The one that waits for the second disk goes with that of the first, and PVE goes on all the same.
  await driver.deleteSnapshot(n.ctx, first, "s1");
  await driver.createSnapshot(n.ctx, second, "s1");
  await n.sim.setNode("pve2", true);
  t.deepEqual(
    (await driver.listSnapshots(n.ctx, second)).map(({ name }) => name),
    ["s1"],
  );
});

for (const [version, any] of [
  ["1.30.4", false],
  ["1.31.1", false],
  ["1.31.2", true],
  ["1.34.0", true],
] as const) {
  test(`LINSTOR ${version} goes back to ${any ? "any snapshot" : "the newest snapshot only"}`, async (t) => {
    const n = await Nodes.start(t, { simulator: { behaviour: { version } } });
    const disk = await n.disk();
    const { driver } = n.at("pve1");
    for (const snap of ["old", "new"]) await driver.createSnapshot(n.ctx, disk, snap);
    t.is((await driver.capabilities(n.ctx)).rollbackToAny, any);
    const blockers = any ? [] : ["new"];
    t.deepEqual(await driver.rollbackObstacles?.(n.ctx, disk, "old"), { snapshots: blockers, others: [] });
    t.deepEqual(await driver.rollbackObstacles?.(n.ctx, disk, "new"), { snapshots: [], others: [] });
    await driver.rollback(n.ctx, disk, any ? "old" : "new");
    t.deepEqual(n.sim.check(), []);
  });
}

test("a volume that has grown is not rolled back where LINSTOR does not bring its size back", async (t) => {
  const n = await Nodes.start(t, { simulator: { behaviour: { version: "1.31.2" } } });
  const disk = await n.disk();
  const { driver } = n.at("pve1");
  await driver.createSnapshot(n.ctx, disk, "s1");
  await driver.resizeVolume(n.ctx, disk, 16n * mib);
  t.is(codeOf(await t.throwsAsync(() => driver.rollback(n.ctx, disk, "s1"))), "refused");
});

test("thick LVM has no snapshots, and bases that are copied in full", async (t) => {
  const n = await Nodes.start(t, { simulator: { pools: [{ name: "ssd", kind: "LVM" }] } });
  const disk = await n.disk();
  const { driver } = n.at("pve1");
  const { snapshots, linkedClones, zeroedOnCreate } = await driver.capabilities(n.ctx);
  t.deepEqual([snapshots, linkedClones, zeroedOnCreate], [false, false, false]);
  t.is(codeOf(await t.throwsAsync(() => driver.createSnapshot(n.ctx, disk, "s1"))), "unsupported");
  const base = await driver.makeBase(n.ctx, disk, refOf("base-100-disk-0"));
  const clone = () => driver.cloneVolume(n.ctx, base, undefined, refOf("vm-101-disk-0"));
  t.is(codeOf(await t.throwsAsync(clone)), "unsupported");
  t.true(await driver.deleteVolume(n.ctx, base));
});

test("with exactsize a volume has exactly its size, until it grows", async (t) => {
  const n = await Nodes.start(t, { section: { exactsize: "yes" } });
  const disk = await n.disk("vm-100-disk-0", 5n * mib);
  const { driver } = n.at("pve1");
  t.is((await driver.getVolume(n.ctx, disk)).size, 5n * mib);
  await driver.resizeVolume(n.ctx, disk, 9n * mib);
  t.true((await driver.getVolume(n.ctx, disk)).size >= 9n * mib);
});

test("a stack without DRBD is used where it is, and never copied by an activation", async (t) => {
  const n = await Nodes.start(t, {
    simulator: { groups: [{ name: "rg1", placeCount: 1, layers: ["STORAGE"] }] },
  });
  const disk = await n.disk();
  t.deepEqual(n.placed(disk.name), { pve1: "diskful" });
  t.true((await n.at("pve1").driver.getVolume(n.ctx, disk)).size >= 8n * mib);
  const error = await t.throwsAsync(() =>
    n.at("pve2").driver.publish(n.ctx, disk, undefined, { name: "pve2" }),
  );
  t.is(codeOf(error), "refused");
  t.regex(error?.message ?? "", /not on node 'pve2' but on pve1/);
  t.deepEqual(n.placed(disk.name), { pve1: "diskful" });
});
