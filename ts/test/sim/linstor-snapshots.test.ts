// SPDX-License-Identifier: AGPL-3.0-or-later
import test from "ava";
import type { SimulatorOptions } from "../../sim/linstor/index.js";
import { eventually } from "../eventually.js";
import { codeOf, type Entry, type Row, type Session, session, severityOf } from "./linstor.js";

const codes = (entries: readonly Entry[]) => entries.map(codeOf);
const a = "resource-definitions/vm-100-disk-1";

async function withDisk(t: Parameters<typeof session>[0], options: SimulatorOptions = {}): Promise<Session> {
  const s = await session(t, options);
  await s.spawn("vm-100-disk-1", 8192, { resource_definition_props: { "Aux/pm/vmid": "100" } });
  return s;
}

const take = (s: Session, name: string, more: Row = {}) => s.say("POST", `${a}/snapshots`, { name, ...more });

test("a snapshot is of the disks, with sizes, flags and properties", async (t) => {
  const s = await withDisk(t);
  const { status, entries } = await take(s, "snap_a", { snapshot_definition_props: { "Aux/name": "a" } });
  t.deepEqual([status, entries[0]?.ret_code], [201, 17563649n]);
  const [row] = await s.get("view/snapshots?resources=vm-100-disk-1");
  t.like(row, {
    name: "snap_a",
    resource_name: "vm-100-disk-1",
    nodes: ["pve1", "pve2"],
    flags: ["SUCCESSFUL"],
    volume_definitions: [{ volume_number: 0, size_kib: 8192 }],
    resource_definition_props: { "Aux/pm/vmid": "100" },
  });
  t.is((row?.["snapshot_definition_props"] as Row | undefined)?.["Aux/name"], "a");
  t.is((row?.["snapshots"] as Row[] | undefined)?.length, 2);
  t.is((await s.get(`${a}/snapshots`)).length, 1);
  await s.do("PUT", `${a}/snapshots/SNAP_A`, { override_props: { "Aux/name": "b" } });
  t.is(((await s.get<Row>(`${a}/snapshots/snap_a`))["props"] as Row)["Aux/name"], "b");
});

test("offline nodes are left out with a warning; all offline is 995", async (t) => {
  const s = await withDisk(t);
  await s.sim.setNode("pve2", false);
  const { status, entries } = await take(s, "one");
  t.is(status, 201);
  t.true(entries.some((entry) => codeOf(entry) === 1002 && severityOf(entry) === "warning"));
  t.deepEqual((await s.get(`${a}/snapshots`))[0]?.["nodes"], ["pve1"]);
  await s.sim.setNode("pve1", false);
  t.deepEqual(codes((await take(s, "two")).entries), [995]);
  t.is((await s.get(`${a}/snapshots`)).length, 1);
});

test("an offline node keeps a deleted snapshot, and its name, until it is back", async (t) => {
  const s = await withDisk(t);
  for (const name of ["one", "two"]) await take(s, name);
  await s.sim.setNode("pve2", false);
  for (let time = 0; time < 2; time++) {
    const entries = await s.do("DELETE", `${a}/snapshots/one`);
    t.true(entries.some((entry) => codeOf(entry) === 1002 && severityOf(entry) === "warning"));
  }
  const [row] = await s.get(`${a}/snapshots`);
  t.like(row, { name: "one", nodes: ["pve2"], flags: ["SUCCESSFUL", "DELETE"] });
  t.deepEqual(codes((await take(s, "ONE")).entries), [514]);
  await s.do("DELETE", `${a}/snapshots/two?nodes=pve2`);
  t.deepEqual(s.sim.check(), []);
  await s.sim.setNode("pve2", true);
  const rest = await s.get(`${a}/snapshots`);
  t.deepEqual(
    rest.map(({ name, nodes }) => [name, nodes]),
    [["two", ["pve1"]]],
  );
  t.is((await take(s, "one")).status, 201);
});

test("thick LVM, file systems that share no blocks, and SkipDisk have none", async (t) => {
  const thick = await withDisk(t, { pools: [{ name: "ssd", kind: "LVM" }] });
  t.deepEqual(codes((await take(thick, "one")).entries), [994]);
  const file = await withDisk(t, {
    pools: [{ name: "ssd", kind: "FILE" }],
    behaviour: { fileSnapshots: false },
  });
  t.deepEqual(codes((await take(file, "one")).entries), [994]);
  const [, pool] = await file.get("view/storage-pools?nodes=pve1");
  t.is(pool?.["supports_snapshots"], false);
  file.sim.configure({ fileSnapshots: true });
  t.is((await take(file, "one")).status, 201);
  await file.do("PUT", a, { override_props: { "DrbdOptions/SkipDisk": "True" } });
  t.deepEqual(codes((await take(file, "two")).entries), [979]);
  t.deepEqual(
    codes((await file.say("POST", `${a}/snapshots`, { name: "three", nodes: ["pve3"] })).entries),
    [979],
  );
});

test("a snapshot that failed on a satellite stays, and cannot be used", async (t) => {
  const s = await withDisk(t);
  s.sim.inject({ kind: "snapshot-fails", on: "snapshotCreate" });
  t.is((await take(s, "bad")).status, 500);
  t.deepEqual((await s.get(`${a}/snapshots`))[0]?.["flags"], ["FAILED_DEPLOYMENT"]);
  t.deepEqual(codes((await s.say("POST", `${a}/snapshot-rollback/bad`)).entries), [998]);
  await s.do("DELETE", `${a}/snapshots/bad`);
});

test("several definitions at once: all or none", async (t) => {
  const s = await withDisk(t);
  await s.spawn("vm-100-disk-2");
  const both = (name: string) => ({
    snapshots: ["vm-100-disk-1", "vm-100-disk-2"].map((resource_name) => ({ resource_name, name })),
  });
  t.is((await s.say("POST", "actions/snapshot/multi", both("one"))).status, 201);
  await s.do("DELETE", `${a}/snapshots/one`);
  t.deepEqual(codes((await s.say("POST", "actions/snapshot/multi", both("one"))).entries), [514]);
  t.is((await s.get(`${a}/snapshots`)).length, 0);
});

test("a restore needs a definition without resources and with volumes, and copies properties", async (t) => {
  const s = await withDisk(t);
  await take(s, "one");
  const restore = async (what: string, body: Row) => {
    const { status, entries } = await s.say("POST", `${a}/snapshot-restore-${what}/one`, body);
    return [status, codes(entries)[0]];
  };
  t.deepEqual(await restore("resource", { to_resource: "copy" }), [404, 301]);
  await s.do("POST", "resource-definitions", {
    resource_definition: {
      name: "copy",
      resource_group_name: "rg1",
      props: { "Aux/pm/vmid": "200", "Aux/own": "1" },
    },
  });
  t.deepEqual(await restore("resource", { to_resource: "copy" }), [404, 303]);
  t.deepEqual(await restore("volume-definition", { to_resource: "copy" }), [200, 1]);
  t.deepEqual(await restore("volume-definition", { to_resource: "copy" }), [500, 503]);
  t.deepEqual(await restore("resource", { to_resource: "copy", nodes: ["pve3"] }), [404, 315]);
  t.is((await restore("resource", { to_resource: "copy" }))[0], 200);
  t.deepEqual(await s.placed("copy"), { pve1: "disk", pve2: "disk", pve3: "tie-breaker" });
  t.deepEqual((await s.definition("copy"))["props"], { "Aux/pm/vmid": "100", "Aux/own": "1" });
  t.deepEqual(await restore("resource", { to_resource: "copy" }), [500, 502]);
  t.deepEqual(
    codes((await s.say("POST", `${a}/snapshot-restore-resource/gone`, { to_resource: "x2" })).entries),
    [313],
  );
  t.deepEqual(s.sim.check(), []);
});

test("a restore without DRBD on one node, into another pool, with the room of the original", async (t) => {
  const s = await withDisk(t, { pools: ["ssd", "other"], groups: [{ name: "rg1", pools: ["ssd"] }] });
  await take(s, "one");
  await s.do("POST", "resource-definitions", {
    resource_definition: { name: "snap_x", layer_data: [{ type: "STORAGE" }] },
  });
  await s.do("POST", `${a}/snapshot-restore-volume-definition/one`, { to_resource: "snap_x" });
  const body = { to_resource: "snap_x", nodes: ["pve2"], stor_pool_rename: { ssd: "other" } };
  await s.do("POST", `${a}/snapshot-restore-resource/one`, body);
  t.deepEqual(await s.placed("snap_x"), { pve2: "disk" });
  const volume = await s.volume("snap_x", "pve2");
  t.is(volume["storage_pool_name"], "other");
  const original = await s.volume("vm-100-disk-1", "pve2");
  t.is(volume["usable_size_kib"], original["allocated_size_kib"], "also where DRBD has its metadata");
  t.deepEqual(s.sim.check(), ["snap_x: a temporary resource of a snapshot that nobody has activated"]);
  t.deepEqual(s.sim.check({ activated: ["snap_x"] }), []);
});

test("a restore to thick ZFS needs the full size again", async (t) => {
  const s = await withDisk(t, { pools: [{ name: "ssd", kind: "ZFS", capacity: 15 * 2 ** 20 }] });
  await take(s, "one");
  await s.do("POST", "resource-definitions", { resource_definition: { name: "copy" } });
  await s.do("POST", `${a}/snapshot-restore-volume-definition/one`, { to_resource: "copy" });
  const { status, entries } = await s.say("POST", `${a}/snapshot-restore-resource/one`, {
    to_resource: "copy",
  });
  t.deepEqual([status, codes(entries)], [500, [206]]);
  t.deepEqual(await s.placed("copy"), {});
});

test("rollback: not in use, not offline; the size goes back; diskless ones come back", async (t) => {
  const s = await withDisk(t);
  await s.do("POST", `${a}/resources/pve3/make-available`, {});
  await take(s, "one");
  await take(s, "two");
  await s.do("PUT", `${a}/volume-definitions/0`, { size_kib: 20_480 });
  const back = async (name: string) => codes((await s.say("POST", `${a}/snapshot-rollback/${name}`)).entries);
  s.sim.setOpen("pve1", "vm-100-disk-1", "write");
  t.deepEqual(await back("one"), [997]);
  s.sim.setOpen("pve1", "vm-100-disk-1", "closed");
  await s.sim.setNode("pve3", false);
  t.deepEqual(await back("one"), [995]);
  await s.sim.setNode("pve3", true);
  t.is((await back("one")).at(-1), 3, "also a snapshot that is not the newest");
  t.deepEqual(await s.placed("vm-100-disk-1"), { pve1: "disk", pve2: "disk", pve3: "diskless" });
  const [volume] = await s.get(`${a}/volume-definitions`);
  t.is(volume?.["size_kib"], 8192);
  t.deepEqual(
    (await s.get(`${a}/snapshots`)).map((row) => row["name"]),
    ["one", "two"],
  );
  t.deepEqual(s.sim.check(), []);
});

test("rollback: the safety snapshot is seen meanwhile, nothing else may change, and a failure undoes all", async (t) => {
  const s = await withDisk(t, { behaviour: { rollbackMs: 3_600_000 } });
  await take(s, "one");
  const names = async () => (await s.get(`${a}/snapshots`)).map((row) => String(row["name"]));
  const rolling = s.say("POST", `${a}/snapshot-rollback/one`);
  t.true(
    await eventually(async () => (await names()).some((name) => /^safety-snap-[a-z0-9]{10}$/.test(name))),
  );
  t.deepEqual(await s.placed("vm-100-disk-1"), {}, "its replicas are gone for the moment");
  t.deepEqual(codes((await s.say("POST", `${a}/snapshots`, { name: "two" })).entries), [971]);
  await s.sim.hurry();
  t.is((await rolling).status, 200);
  t.deepEqual(await names(), ["one"]);
  s.sim.configure({ rollbackMs: 0 });
  s.sim.inject({ kind: "rollback-fails", on: "snapshotRollback" });
  const before = s.sim.device("pve1", "vm-100-disk-1");
  t.truthy(before);
  t.is((await s.say("POST", `${a}/snapshot-rollback/one`)).status, 500);
  t.deepEqual(await names(), ["one"]);
  t.deepEqual(await s.placed("vm-100-disk-1"), { pve1: "disk", pve2: "disk", pve3: "tie-breaker" });
  t.deepEqual(s.sim.check(), []);
});

test("rollback to 1.30: the newest only, on every node, and never after a gap", async (t) => {
  const s = await withDisk(t, { behaviour: { version: "1.30.4" } });
  for (const name of ["one", "two", "three"]) await take(s, name);
  const back = async (name: string) => codes((await s.say("POST", `${a}/snapshot-rollback/${name}`)).entries);
  t.deepEqual(await back("one"), [514]);
  await s.do("PUT", `${a}/volume-definitions/0`, { size_kib: 20_480 });
  t.deepEqual(await back("three"), [3]);
  const [volume] = await s.get(`${a}/volume-definitions`);
  t.is(volume?.["size_kib"], 20_480, "the size stays");
  await s.sim.setNode("pve2", false);
  await take(s, "partial");
  await s.sim.setNode("pve2", true);
  t.deepEqual(await back("partial"), [315]);
  await s.do("DELETE", `${a}/snapshots/partial`);
  t.deepEqual(await back("three"), [3]);
  await s.do("DELETE", `${a}/snapshots/two`);
  t.deepEqual(await back("three"), [999], "wrong sequence number");
  const body = { zfs_rollback_strategy: "clone" };
  t.is((await s.say("POST", `${a}/snapshot-rollback/three`, body)).status, 400, "which it does not know");
  t.deepEqual(s.sim.check(), []);
});

test("rollback of ZFS since 1.32: in place when it can, as the strategy says", async (t) => {
  const s = await withDisk(t, { pools: [{ name: "ssd", kind: "ZFS_THIN" }] });
  await take(s, "one");
  await take(s, "two");
  const back = async (name: string, zfs_rollback_strategy?: string) => {
    const body = zfs_rollback_strategy === undefined ? undefined : { zfs_rollback_strategy };
    return codes((await s.say("POST", `${a}/snapshot-rollback/${name}`, body)).entries);
  };
  t.deepEqual(await back("two", "rollback"), [3], "in place: nothing but the rollback");
  t.deepEqual(await back("one", "rollback"), [977]);
  t.true((await back("one", "dynamic")).length > 1, "by a restore");
  t.deepEqual(await back("two", "rollback"), [977], "and never in place again");
  await take(s, "three");
  t.deepEqual(await back("three"), [3]);
  await s.do("PUT", a, { override_props: { "StorDriver/Zfs/RollbackStrategy": "clone" } });
  t.true((await back("three")).length > 1);
  t.deepEqual(s.sim.check(), []);
});

test("a clone is made in the background: CLONING, then COMPLETE; properties are overridden", async (t) => {
  const s = await withDisk(t, { behaviour: { cloneMs: 3_600_000 } });
  const { status, text } = await s.raw("POST", `/v1/${a}/clone`, {
    name: "copy",
    override_props: { "Aux/pm/vmid": "101" },
  });
  t.is(status, 201);
  t.like(JSON.parse(text) as Row, {
    location: "/v1/resource-definitions/vm-100-disk-1/clone/copy",
    source_name: "vm-100-disk-1",
    clone_name: "copy",
  });
  const state = async () => (await s.get<Row>(`${a}/clone/copy`))["status"];
  t.is(await state(), "CLONING");
  t.deepEqual((await s.definition("copy"))["flags"], ["CLONING"]);
  await s.sim.hurry();
  t.is(await state(), "COMPLETE");
  t.deepEqual(await s.placed("copy"), { pve1: "disk", pve2: "disk", pve3: "tie-breaker" });
  t.deepEqual((await s.definition("copy"))["props"], { "Aux/pm/vmid": "101" });
  const { status: unknown, text: words } = await s.raw("GET", `/v1/${a}/clone/none`);
  t.is(unknown, 404);
  t.regex(words, /none/);
  t.deepEqual(codes((await s.say("POST", `${a}/clone`, { name: "COPY" })).entries), [501]);
  t.deepEqual(s.sim.check(), []);
});

test("a clone fails when a node goes away, on file pools, and where there is no room", async (t) => {
  const s = await withDisk(t, { behaviour: { cloneMs: 3_600_000 } });
  await s.raw("POST", `/v1/${a}/clone`, { name: "copy" });
  await s.sim.setNode("pve2", false);
  const state = async () => (await s.get<Row>(`${a}/clone/copy`))["status"];
  await s.sim.hurry();
  t.is(await state(), "FAILED");
  t.deepEqual((await s.definition("copy"))["flags"], ["FAILED"]);
  t.deepEqual(await s.placed("copy"), {});
  await s.sim.setNode("pve2", true);
  await s.do("DELETE", "resource-definitions/copy");
  s.sim.inject({ kind: "clone-node-lost", on: "cloneStart" });
  await s.raw("POST", `/v1/${a}/clone`, { name: "again" });
  await s.sim.hurry();
  t.is((await s.get<Row>(`${a}/clone/again`))["status"], "FAILED");
  await s.do("DELETE", "resource-definitions/again");
  t.deepEqual(s.sim.check(), []);
  const file = await withDisk(t, { pools: [{ name: "ssd", kind: "FILE_THIN" }] });
  t.deepEqual(codes((await file.say("POST", `${a}/clone`, { name: "copy" })).entries), [227]);
  const full = await withDisk(t, { pools: [{ name: "ssd", kind: "LVM", capacity: 20 * 2 ** 20 }] });
  t.deepEqual(codes((await full.say("POST", `${a}/clone`, { name: "copy" })).entries).at(-1), 206);
  t.is(full.sim.state.definitions.size, 1);
  const old = await withDisk(t, { behaviour: { version: "1.31.2" } });
  const body = { name: "copy", override_props: { "Aux/pm/vmid": "1" } };
  t.is((await old.say("POST", `${a}/clone`, body)).status, 400);
});
