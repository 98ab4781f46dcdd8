// SPDX-License-Identifier: AGPL-3.0-or-later
import test, { type ExecutionContext } from "ava";
import { gidOf, Nodes, refOf } from "./nodes.js";

function start(t: ExecutionContext): Promise<Nodes> {
  return Nodes.start(t, {}, { settings: "_SP_VEEAM_COMPAT=1\n" });
}

function rights(n: Nodes): string[] {
  return n.sim.state.attachments.map(
    ({ object, client, rights: has }) => `${object.globalId} ${client} ${has}`,
  );
}

test("a new volume is attached rw at once, and stays so when its guest stops", async (t) => {
  const n = await start(t);
  const disk = await n.disk();
  t.deepEqual(rights(n), [`${gidOf(disk)} 11 rw`]);
  n.guest(100, { node: "node-a" });
  await n.activate("node-a", disk);
  t.false(await n.deactivate("node-a", disk));
  t.deepEqual(rights(n), [`${gidOf(disk)} 11 rw`]);
});

test("a clone is attached too; snapshots are not kept", async (t) => {
  const n = await start(t);
  const disk = await n.disk();
  const driver = n.drivers["node-a"];
  await driver.createSnapshot(n.ctx, disk, "s1");
  await driver.publish(n.ctx, disk, "s1", { name: "node-a" });
  t.is(rights(n).length, 2);
  await driver.unpublish(n.ctx, disk, "s1", { name: "node-a" });
  const clone = await driver.cloneVolume(n.ctx, disk, "s1", refOf(101, "vm-101-disk-0"));
  t.deepEqual(rights(n), [`${gidOf(disk)} 11 rw`, `${gidOf(clone)} 11 rw`]);
});

test("after a migration the source gives its disk up", async (t) => {
  const n = await start(t);
  const disk = await n.disk();
  n.guest(100, { node: "node-a", lock: "migrate" });
  await n.activate("node-b", disk);
  n.guest(100, { node: "node-b" });
  t.true(await n.deactivate("node-a", disk));
  t.deepEqual(n.holders(disk), ["node-b"]);
});

test("what stays attached can be deleted, made a base and started on another node", async (t) => {
  const n = await start(t);
  const [gone, base, moved] = [await n.disk(100, 0), await n.disk(100, 1), await n.disk(100, 2)];
  n.guest(100, { node: "node-a" });
  t.true(await n.drivers["node-a"].deleteVolume(n.ctx, gone));
  await n.drivers["node-a"].makeBase(n.ctx, base, refOf(100, "base-100-disk-1"));
  n.guest(100, { node: "node-b" });
  await n.activate("node-b", moved);
  t.deepEqual(rights(n), [`${gidOf(moved)} 12 rw`]);
});
