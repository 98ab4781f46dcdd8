// SPDX-License-Identifier: AGPL-3.0-or-later
import test, { type ExecutionContext } from "ava";
import type { VolumeRef } from "../../../src/arrays/contract.js";
import { tag } from "../../../src/arrays/storpool/tags.js";
import { gidOf, Nodes, refOf, storeid } from "./nodes.js";

/** A guest with two disks on node-a. */
async function guest(t: ExecutionContext, missing: string[] = []) {
  const n = await Nodes.start(t, { behaviour: { missing } });
  const disks: [VolumeRef, VolumeRef] = [await n.disk(100, 0), await n.disk(100, 1)];
  return { n, disks, driver: n.drivers["node-a"] };
}

/** PVE has begun a snapshot. */
function prepare(n: Nodes, disks: readonly VolumeRef[], snap: string, time: number): void {
  const drives = disks.map(({ volname }, index) => `scsi${index}: ${storeid}:${volname},size=1M\n`).join("");
  const cdrom = "ide2: none,media=cdrom\n";
  const section = `[${snap}]\n${cdrom}${drives}snapstate: prepare\nsnaptime: ${time}\n`;
  n.configure("node-a", 100, `lock: snapshot\n${cdrom}${drives}\n${section}`);
}

function living(n: Nodes) {
  return [...n.sim.state.objects.values()].filter(({ kind, deleted }) => kind === "snapshot" && !deleted);
}

function commands(n: Nodes): string[] {
  return n.sim.journal.entries
    .map(({ path }) => path.replace(/\/.*/, ""))
    .filter((path) => /^Volume(s?Group)?Snapshot|^VolumesGroupSnapshot/.test(path));
}

async function names(n: Nodes, disk: VolumeRef): Promise<string[]> {
  return (await n.drivers["node-a"].listSnapshots(n.ctx, disk)).map(({ name }) => name);
}

test("all disks of a guest get their snapshots at one instant, each when PVE asks for it", async (t) => {
  const { n, disks, driver } = await guest(t);
  prepare(n, disks, "s1", 1000);
  await driver.createSnapshot(n.ctx, disks[0], "s1");
  t.deepEqual(commands(n), ["VolumesGroupSnapshot"]);
  t.is(living(n).length, 2);
  t.deepEqual(await names(n, disks[0]), ["s1"]);
  t.deepEqual(await names(n, disks[1]), [], "PVE has not asked for this one");
  await t.throwsAsync(driver.rollback(n.ctx, disks[1], "s1"), { code: "absent" });
  await driver.createSnapshot(n.ctx, disks[1], "s1");
  t.deepEqual(commands(n), ["VolumesGroupSnapshot"]);
  t.deepEqual(await names(n, disks[1]), ["s1"]);
  for (const [index, disk] of disks.entries()) {
    const made = living(n).find(({ tags }) => tags["pve-snap-v"] === gidOf(disk));
    const set = Object.entries(made?.tags ?? {}).filter(([, value]) => value !== "");
    t.deepEqual(Object.fromEntries(set), {
      virt: "pve",
      "pve-loc": "two",
      pve: storeid,
      "pve-type": "images",
      "pve-vm": "100",
      "pve-disk": String(index),
      "pve-snap": "s1",
      "pve-snap-v": gidOf(disk),
    });
  }
  await t.throwsAsync(driver.createSnapshot(n.ctx, disks[0], "s1"), { code: "exists" });
});

test("a snapshot that PVE gives up half-way leaves nothing of the other disks", async (t) => {
  const { n, disks, driver } = await guest(t);
  prepare(n, disks, "s1", 1000);
  await driver.createSnapshot(n.ctx, disks[0], "s1");
  await driver.deleteSnapshot(n.ctx, disks[0], "s1");
  t.deepEqual(living(n), []);
});

test("what an attempt left that died is never taken for the next attempt's", async (t) => {
  const { n, disks, driver } = await guest(t);
  prepare(n, disks, "s1", 1000);
  await driver.createSnapshot(n.ctx, disks[0], "s1");
  const [, old] = living(n);
  t.true(tag(old?.tags ?? {}, "pve-blockio-request")?.startsWith("group-1000-"));
  // The snapshot of the first disk is deleted elsewhere, by hand.
  const first = living(n).find(({ tags }) => tags["pve-snap-v"] === gidOf(disks[0]));
  if (first) n.sim.state.remove(first);
  prepare(n, disks, "s1", 1001);
  for (const disk of disks) await driver.createSnapshot(n.ctx, disk, "s1");
  t.is(living(n).length, 2);
  t.false(living(n).some(({ globalId }) => globalId === old?.globalId));
});

test("what is left of a dead attempt is in nobody's way", async (t) => {
  const { n, disks, driver } = await guest(t);
  prepare(n, disks, "s1", 1000);
  await driver.createSnapshot(n.ctx, disks[0], "s1");
  n.guest(100, { node: "node-a" });
  await driver.makeBase(n.ctx, disks[1], refOf(100, "base-100-disk-1"));
  t.is(living(n).filter(({ tags }) => tags["pve-snap"]).length, 1);
});

test("without a snapshot of PVE under way each disk is for itself", async (t) => {
  const { n, disks, driver } = await guest(t);
  n.guest(100, { node: "node-a" });
  await driver.createSnapshot(n.ctx, disks[0], "s1");
  t.deepEqual(commands(n), ["VolumeSnapshot"]);
  t.is(living(n).length, 1);
});

test("a release without group snapshots takes one after the other", async (t) => {
  const { n, disks, driver } = await guest(t, ["VolumesGroupSnapshot"]);
  prepare(n, disks, "s1", 1000);
  for (const disk of disks) await driver.createSnapshot(n.ctx, disk, "s1");
  t.is(living(n).length, 2);
  for (const disk of disks) t.deepEqual(await names(n, disk), ["s1"]);
});

test("a group whose answer is lost is there once", async (t) => {
  const { n, disks, driver } = await guest(t);
  prepare(n, disks, "s1", 1000);
  n.sim.inject({ kind: "reset-after", on: "VolumesGroupSnapshot", count: 1 });
  for (const disk of disks) await driver.createSnapshot(n.ctx, disk, "s1");
  t.is(living(n).length, 2);
  for (const disk of disks) t.deepEqual(await names(n, disk), ["s1"]);
});
