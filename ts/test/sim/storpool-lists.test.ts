// SPDX-License-Identifier: AGPL-3.0-or-later
import test from "ava";
import { mib, type Row, session } from "./storpool.js";

interface Both {
  readonly volumes: Row[];
  readonly snapshots: Row[];
}

test("lists carry the snapshot flag or not", async (t) => {
  const s = await session(t);
  const volume = await s.volume();
  await s.snapshot(volume);
  const flags = async () => {
    const both = await s.get<Both>("VolumesAndSnapshotsList");
    return [...both.volumes, ...both.snapshots].map((row) => row["snapshot"]);
  };
  t.deepEqual(await flags(), [false, true]);
  s.sim.configure({ snapshotFlag: false });
  t.deepEqual(await flags(), [undefined, undefined]);
});

test("foreign objects are in the lists, with all their oddities", async (t) => {
  const s = await session(t, { foreign: { loc: "cl1", storage: "sp" } });
  const { volumes, snapshots } = await s.get<Both>("VolumesAndSnapshotsList");
  const all = [...volumes, ...snapshots];
  const tags = (row: Row) => row["tags"] as Record<string, string>;
  t.true(all.some((row) => tags(row)["pve-loc"] === "cl1-other"));
  t.true(all.some((row) => tags(row)["pve"] === "sp-other" && tags(row)["pve-loc"] === "cl1"));
  t.true(all.some((row) => tags(row)["pve"] === "sp" && tags(row)["pve-loc"] === undefined));
  t.true(volumes.some((row) => Object.keys(tags(row)).length === 0 && row["name"] === `~${row["globalId"]}`));
  t.true(volumes.some((row) => row["name"] === "named-by-hand" && tags(row)["virt"] === "pve"));
  t.true(volumes.some((row) => String(row["name"]).startsWith("#")));
  t.true(volumes.some((row) => row["replication"] === "-" && row["iops"] === "-"));
  t.true(snapshots.some((row) => row["deleted"] === true && String(row["name"]).startsWith("*")));
  t.true(snapshots.some((row) => row["transient"] === true && String(row["name"]).includes("@")));
  t.deepEqual(s.sim.check(), []);
  const clean = volumes.filter(
    (row) =>
      tags(row)["pve-loc"] === "cl1" &&
      tags(row)["pve"] === "sp" &&
      /^\d+$/.test(tags(row)["pve-disk"] ?? ""),
  );
  t.deepEqual(
    clean.filter((row) => row["name"] === `~${row["globalId"]}` && tags(row)["pve-vm"] === "100"),
    [],
    "none is a disk of the storage",
  );
});

test("templates say what is used and what is free", async (t) => {
  const s = await session(t, { templates: [{ name: "nvme", capacity: 10 * mib }, "hdd"] });
  await s.volume({ size: 3 * mib });
  const [row, second] = await s.get("VolumeTemplatesStatus");
  t.like(row, { name: "nvme", volumesCount: 1, stored: { capacity: 10 * mib, free: 7 * mib } });
  t.is(second?.["name"], "hdd");
  t.is((await s.get<Row>("VolumeTemplateDescribe/hdd"))["name"], "hdd");
  await t.throwsAsync(s.get("VolumeTemplateDescribe/none"), { message: /^objectDoesNotExist/ });
  t.deepEqual(
    (await s.get("VolumeTemplatesList")).map((at) => at["name"]),
    ["nvme", "hdd"],
  );
});

test("services, usage and details are answered", async (t) => {
  const s = await session(t);
  const volume = await s.volume();
  const snapshot = await s.snapshot(volume);
  await s.sim.setClient(12, "down");
  t.like(await s.get<Row>("ServicesList"), {
    clusterStatus: "running",
    clients: { 11: { status: "running" }, 12: { status: "down" } },
  });
  t.like((await s.get("VolumesSpace"))[0], { globalId: volume, storedSize: mib });
  t.like((await s.get("SnapshotsSpace"))[0], { globalId: snapshot, storedSize: 0 });
  t.is((await s.get<Row>(`VolumeGetInfo/~${volume}`))["globalId"], volume);
  t.is((await s.get<Row>(`SnapshotGetInfo/~${snapshot}`))["globalId"], snapshot);
  t.is((await s.get("MultiCluster/VolumesList")).length, 1);
});

test("1,000 volumes and 5,000 snapshots are listed in seconds", async (t) => {
  const s = await session(t);
  const made: string[] = [];
  for (let n = 0; n < 1000; n++) made.push(await s.volume({ tags: { virt: "pve", "pve-vm": String(n) } }));
  for (let n = 0; n < 5; n++)
    await s.post("VolumesGroupSnapshot", { volumes: made.map((volume) => ({ volume: `~${volume}` })) });
  const start = performance.now();
  const { volumes, snapshots } = await s.get<Both>("VolumesAndSnapshotsList");
  t.true(performance.now() - start < 5_000);
  t.is(volumes.length, 1000);
  t.is(snapshots.length, 5000);
  t.is(new Set([...volumes, ...snapshots].map((row) => row["globalId"])).size, 6000);
});

test("the check finds what is broken", async (t) => {
  const s = await session(t);
  const volume = await s.volume();
  const snapshot = await s.snapshot(volume);
  await s.reassign({ volume: `~${volume}`, rw: [11] });
  await s.reassign({ snapshot: `~${snapshot}`, ro: [11] });
  t.deepEqual(s.sim.check(), []);
  const { state } = s.sim;
  const [inner, outer] = [state.volume(`~${volume}`), state.snapshot(`~${snapshot}`)];
  inner.size = 1000;
  outer.parent = outer;
  state.remove(inner);
  for (const row of state.attachments) Object.assign(row, { rights: "rw", pos: 1 });
  const found = s.sim.check().join("\n");
  for (const part of [
    "form a ring",
    "attached, but gone",
    "position 1 is used twice",
    "a snapshot attached rw",
  ])
    t.true(found.includes(part), part);
  state.add(inner);
  state.remove(outer);
  for (const part of ["no multiple of 512", "its parent is gone"])
    t.true(s.sim.check().join("\n").includes(part), part);
});
