// SPDX-License-Identifier: AGPL-3.0-or-later
import test from "ava";
import { eventually } from "../eventually.js";
import { mib, type Row, session } from "./storpool.js";

test("VolumeCreate refuses what is wrong and leaves nothing behind", async (t) => {
  const s = await session(t, { templates: [{ name: "nvme", capacity: 8 * mib }] });
  const volume = await s.volume({ size: 2 * mib });
  const snapshot = await s.snapshot(volume);
  const count = s.sim.state.objects.size;
  const wrong: [Row, string][] = [
    [{ template: "none", size: 512 }, "objectDoesNotExist"],
    [{ parent: "~nzkr.b.zz" }, "objectDoesNotExist"],
    [{ parent: `~${volume}` }, "objectDoesNotExist"],
    [{ baseOn: `~${snapshot}` }, "objectDoesNotExist"],
    [{ template: "nvme", size: 100 * mib }, "insufficientResources"],
    [{ template: "nvme" }, "invalidParam"],
    [{ size: 512 }, "invalidParam"],
    [{ template: "nvme", size: 0 }, "invalidParam"],
    [{ template: "nvme", size: 513 }, "invalidParam"],
    [{ template: "nvme", size: "512" }, "invalidParam"],
    [{ parent: `~${snapshot}`, size: mib }, "invalidParam"],
    [{ parent: `~${snapshot}`, baseOn: `~${volume}` }, "invalidParam"],
    [{ template: "nvme", size: 512, tags: { "with blank": "x" } }, "invalidParam"],
    [{ template: "nvme", size: 512, tags: { t: "a,b" } }, "invalidParam"],
    [{ template: "nvme", size: 512, tags: { t: "x".repeat(200) } }, "invalidParam"],
    [{ template: "nvme", size: 512, sise: 512 }, "invalidParam"],
  ];
  for (const [body, name] of wrong)
    t.is((await s.envelope("POST", "VolumeCreate", body)).error?.name, name, JSON.stringify(body));
  t.is(s.sim.state.objects.size, count);
  t.deepEqual(s.sim.check(), []);
  await s.volume({ size: 6 * mib });
  await t.throwsAsync(s.volume({ size: 512 }), { message: /^insufficientResources/ });
});

test("a single object is an array of one, and the other kind does not exist", async (t) => {
  const s = await session(t);
  const volume = await s.volume({ tags: { virt: "pve" } });
  const snapshot = await s.snapshot(volume);
  t.like(await s.row("Volume", volume), {
    globalId: volume,
    name: `~${volume}`,
    size: mib,
    tags: { virt: "pve" },
  });
  t.like(await s.row("Snapshot", snapshot), { globalId: snapshot, onVolume: `~${volume}`, deleted: false });
  for (const path of [`Volume/~${snapshot}`, `Snapshot/~${volume}`, "Volume/~nzkr.b.zz", "Snapshot/none"])
    await t.throwsAsync(s.get(path), { message: /^objectDoesNotExist/ }, path);
  t.is((await s.get<Row>(`VolumeDescribe/~${volume}`))["size"], mib);
});

test("VolumeUpdate merges tags; an empty one stays or goes", async (t) => {
  const s = await session(t);
  const volume = await s.volume({ tags: { a: "1", b: "2" } });
  await s.post(`VolumeUpdate/~${volume}`, { tags: { b: "3", c: "4" } });
  await s.post(`VolumeUpdate/~${volume}`, { tags: { a: "" } });
  t.deepEqual((await s.row("Volume", volume))["tags"], { a: "", b: "3", c: "4" });
  s.sim.configure({ emptyTagClears: true });
  await s.post(`VolumeUpdate/~${volume}`, { tags: { b: "" } });
  t.deepEqual((await s.row("Volume", volume))["tags"], { c: "4" });
});

test("VolumeUpdate grows, and shrinks only when told so", async (t) => {
  const s = await session(t);
  const volume = await s.volume({ size: 2 * mib });
  await s.post(`VolumeUpdate/~${volume}`, { sizeAdd: mib });
  t.is((await s.row("Volume", volume))["size"], 3 * mib);
  await t.throwsAsync(s.post(`VolumeUpdate/~${volume}`, { size: mib }), { message: /^invalidParam/ });
  t.is((await s.row("Volume", volume))["size"], 3 * mib);
  await s.post(`VolumeUpdate/~${volume}`, { size: mib, shrinkOk: true });
  t.is((await s.row("Volume", volume))["size"], mib);
});

test("names are unique, and an object is reached by its name too", async (t) => {
  const s = await session(t);
  await s.volume({ name: "data" });
  await t.throwsAsync(s.volume({ name: "data" }), { message: /^objectExists/ });
  t.is((await s.get("Volume/data"))[0]?.["name"], "data");
  await s.post("VolumeUpdate/data", { rename: "other" });
  await t.throwsAsync(s.get("Volume/data"), { message: /^objectDoesNotExist/ });
});

test("a snapshot becomes the parent of its volume; ancestors are listed nearest first", async (t) => {
  const s = await session(t);
  const volume = await s.volume({ tags: { a: "1" } });
  const first = await s.snapshot(volume, { tags: { b: "2" } });
  const second = await s.snapshot(volume);
  t.is((await s.row("Volume", volume))["parentName"], `~${second}`);
  t.is((await s.row("Snapshot", second))["parentName"], `~${first}`);
  t.deepEqual((await s.row("Snapshot", first))["tags"], { b: "2" });
  const listed = await s.get(`VolumeListSnapshots/~${volume}`);
  t.deepEqual(
    listed.map((row) => row["globalId"]),
    [second, first],
  );
  s.sim.configure({ snapshotInheritsTags: true });
  const third = await s.snapshot(volume, { tags: { b: "2" } });
  t.deepEqual((await s.row("Snapshot", third))["tags"], { a: "1", b: "2" });
});

test("a deleted snapshot with children is listed as deleted until they are gone", async (t) => {
  const s = await session(t);
  const volume = await s.volume();
  const snapshot = await s.snapshot(volume);
  const clone = await s.copy({ parent: `~${snapshot}` });
  await s.post(`SnapshotDelete/~${snapshot}`);
  const rows = async () => (await s.get("SnapshotsList")).map((row) => [row["name"], row["deleted"]]);
  t.deepEqual(await rows(), [[`*~${snapshot}`, true]]);
  for (const again of [s.post(`SnapshotDelete/~${snapshot}`), s.copy({ parent: `~${snapshot}` })])
    await t.throwsAsync(again, { message: /^objectDoesNotExist/ });
  await t.throwsAsync(s.row("Snapshot", snapshot), { message: /^objectDoesNotExist/ });
  await s.post(`VolumeDelete/~${clone}`);
  t.is((await rows()).length, 1, "the volume is a child as well");
  await s.post(`VolumeDelete/~${volume}`);
  t.deepEqual(await rows(), []);
  t.deepEqual(s.sim.check(), []);
});

test("with folding, a deleted snapshot goes by itself and its children stay", async (t) => {
  const s = await session(t, { behaviour: { deletedFoldMs: 0 } });
  const volume = await s.volume();
  const [old, recent] = [await s.snapshot(volume), await s.snapshot(volume)];
  await s.post(`SnapshotDelete/~${recent}`);
  t.true(await eventually(async () => (await s.get("SnapshotsList")).length === 1));
  t.deepEqual(
    (await s.get("SnapshotsList")).map((row) => row["globalId"]),
    [old],
  );
  t.is((await s.row("Volume", volume))["parentName"], `~${old}`);
});

test("VolumeRevert restores the size when asked, keeps newer snapshots, and takes only its own", async (t) => {
  const s = await session(t);
  const [volume, other] = [await s.volume(), await s.volume()];
  const [first, foreign] = [await s.snapshot(volume), await s.snapshot(other)];
  await s.post(`VolumeUpdate/~${volume}`, { size: 4 * mib });
  const second = await s.snapshot(volume);
  await t.throwsAsync(s.post(`VolumeRevert/~${volume}`, { toSnapshot: `~${foreign}` }), {
    message: /^invalidParam/,
  });
  await s.post(`VolumeUpdate/~${volume}`, { rename: "renamed" });
  await s.post(`VolumeRevert/~${volume}`, { toSnapshot: `~${first}` });
  t.is((await s.row("Volume", volume))["size"], 4 * mib);
  await s.post(`VolumeRevert/~${volume}`, { toSnapshot: `~${first}`, revertSize: true });
  t.like(await s.row("Volume", volume), { size: mib, parentName: `~${first}` });
  t.is((await s.row("Snapshot", second))["size"], 4 * mib);
  await s.reassign({ volume: `~${volume}`, rw: [11] });
  await t.throwsAsync(s.post(`VolumeRevert/~${volume}`, { toSnapshot: `~${second}` }), { message: /^busy/ });
});

test("VolumeFreeze turns a volume into a snapshot, with the same or another global id", async (t) => {
  const s = await session(t);
  const volume = await s.volume({ tags: { virt: "pve" } });
  await s.reassign({ volume: `~${volume}`, rw: [11] });
  await t.throwsAsync(s.post(`VolumeFreeze/~${volume}`), { message: /^busy/ });
  await s.reassign({ volume: `~${volume}`, detach: "all" });
  t.is((await s.post(`VolumeFreeze/~${volume}`))["globalId"], volume);
  t.like(await s.row("Snapshot", volume), { tags: { virt: "pve" } });
  await t.throwsAsync(s.row("Volume", volume), { message: /^objectDoesNotExist/ });
  s.sim.configure({ freezeKeepsGlobalId: false });
  const second = await s.volume();
  const frozen = String((await s.post(`VolumeFreeze/~${second}`))["globalId"]);
  t.not(frozen, second);
  await s.row("Snapshot", frozen);
});

test("a rebase goes to an ancestor or to none", async (t) => {
  const s = await session(t);
  const volume = await s.volume();
  const [old, recent] = [await s.snapshot(volume), await s.snapshot(volume)];
  await s.post(`VolumeRebase/~${volume}`, { parentName: `~${old}` });
  t.is((await s.row("Volume", volume))["parentName"], `~${old}`);
  await t.throwsAsync(s.post(`VolumeRebase/~${volume}`, { parentName: `~${recent}` }), {
    message: /^invalidParam/,
  });
  await s.post(`SnapshotRebase/~${recent}`);
  t.is((await s.row("Snapshot", recent))["parentName"], "");
  await s.post(`VolumeRebase/~${volume}`);
  t.is((await s.row("Volume", volume))["parentName"], "");
});

test("a copy of a live volume leaves a transient snapshot until nothing needs it", async (t) => {
  const s = await session(t);
  const volume = await s.volume();
  const copy = await s.copy({ baseOn: `~${volume}` });
  const [hidden] = await s.get("SnapshotsList");
  t.like(hidden, { transient: true, onVolume: `~${volume}` });
  t.regex(String(hidden?.["name"]), /@/);
  t.is((await s.row("Volume", copy))["parentName"], hidden?.["name"]);
  await s.post(`VolumeDelete/~${volume}`);
  t.is((await s.get("SnapshotsList")).length, 1);
  await s.post(`VolumeDelete/~${copy}`);
  t.is((await s.get("SnapshotsList")).length, 0);
});

test("a group snapshot takes all or none", async (t) => {
  const s = await session(t);
  const [first, second] = [await s.volume(), await s.volume()];
  const take = (...volumes: Row[]) =>
    s.post("VolumesGroupSnapshot", { volumes, tags: { snap: "s", a: "1" } });
  await t.throwsAsync(take({ volume: `~${first}` }, { volume: "~nzkr.b.zz" }), {
    message: /^objectDoesNotExist/,
  });
  await t.throwsAsync(take({ volume: `~${first}` }, { volume: `~${first}` }), { message: /^invalidParam/ });
  t.deepEqual(await s.get("SnapshotsList"), []);
  const { snapshots } = (await take({ volume: `~${first}`, tags: { a: "2" } }, { volume: `~${second}` })) as {
    snapshots: Row[];
  };
  t.deepEqual(
    snapshots.map((row) => row["volumeGlobalId"]),
    [first, second],
  );
  t.deepEqual((await s.row("Snapshot", String(snapshots[0]?.["snapshotGlobalId"])))["tags"], {
    snap: "s",
    a: "2",
  });
});

test("snapshots go at their date, and bound ones with their last child", async (t) => {
  let now = 1_700_000_000;
  const s = await session(t, { now: () => now });
  const volume = await s.volume();
  const bound = await s.snapshot(volume, { bind: true });
  await s.post(`VolumeRebase/~${volume}`);
  await t.throwsAsync(s.row("Snapshot", bound), { message: /^objectDoesNotExist/ });
  const dated = await s.snapshot(volume, { deleteAfter: 60 });
  await s.post(`VolumeRebase/~${volume}`);
  t.is((await s.row("Snapshot", dated))["targetDeleteDate"], now + 60);
  now += 61;
  t.deepEqual(await s.get("SnapshotsList"), []);
});

test("SnapshotUpdate changes tags, name and date", async (t) => {
  const s = await session(t);
  const snapshot = await s.snapshot(await s.volume(), { tags: { a: "1" }, deleteAfter: 60 });
  await s.post(`SnapshotUpdate/~${snapshot}`, { tags: { b: "2" }, rename: "kept", deleteAfter: 0 });
  t.like(await s.row("Snapshot", snapshot), { tags: { a: "1", b: "2" }, name: "kept", targetDeleteDate: 0 });
});
