// SPDX-License-Identifier: AGPL-3.0-or-later
import test from "ava";
import { codeOf, type Entry, type Row, session } from "./linstor.js";

const codes = (entries: readonly Entry[]) => entries.map(codeOf);
const a = "resource-definitions/vm-100-disk-1";
const property = "DrbdOptions/auto-add-quorum-tiebreaker";

test("two disks in a cluster of three get a tie-breaker, in one of two they cannot", async (t) => {
  const three = await session(t);
  const made = await three.do("POST", "resource-groups/rg1/spawn", {
    resource_definition_name: "vm-100-disk-1",
    volume_sizes: [4096],
  });
  t.true(codes(made).includes(10_003));
  t.is((await three.placed("vm-100-disk-1"))["pve3"], "tie-breaker");
  const two = await session(t, { nodes: ["pve1", "pve2"] });
  await two.spawn("vm-100-disk-1");
  t.deepEqual(await two.placed("vm-100-disk-1"), { pve1: "disk", pve2: "disk" });
});

test("the tie-breaker goes when a third disk comes, and comes back with the second", async (t) => {
  const s = await session(t, { nodes: ["pve1", "pve2", "pve3", "pve4"] });
  await s.spawn("vm-100-disk-1");
  const more = await s.do("POST", `${a}/autoplace`, { select_filter: { place_count: 3 } });
  t.deepEqual(Object.values(await s.placed("vm-100-disk-1")).sort(), ["disk", "disk", "disk"]);
  t.true(more.length > 0);
  const [gone = ""] = Object.keys(await s.placed("vm-100-disk-1"));
  const left = await s.do("DELETE", `${a}/resources/${gone}`);
  t.deepEqual(codes(left), [10_006], "what was to be deleted becomes the tie-breaker");
  t.is((await s.placed("vm-100-disk-1"))[gone], "tie-breaker");
  t.deepEqual(s.sim.check(), []);
});

test("a diskless one that is deleted becomes the tie-breaker; the second deletion removes it for good", async (t) => {
  const s = await session(t);
  await s.spawn("vm-100-disk-1");
  await s.do("POST", `${a}/resources/pve3/make-available`, {});
  t.deepEqual(codes(await s.do("DELETE", `${a}/resources/pve3`)), [10_006]);
  t.is((await s.placed("vm-100-disk-1"))["pve3"], "tie-breaker");
  t.true(codes(await s.do("DELETE", `${a}/resources/pve3`)).includes(10_002));
  t.is((await s.placed("vm-100-disk-1"))["pve3"], undefined);
  t.is(((await s.definition("vm-100-disk-1"))["props"] as Row)[property], "False");
  await s.do("POST", `${a}/resources/pve3/make-available`, {});
  await s.do("DELETE", `${a}/resources/pve3?keep_tiebreaker=True`);
  t.is((await s.placed("vm-100-disk-1"))["pve3"], "tie-breaker", "and is wanted again when it is to be kept");
  t.is(((await s.definition("vm-100-disk-1"))["props"] as Row | undefined)?.[property], undefined);
  for (let n = 0; n < 2; n++) await s.do("DELETE", `${a}/resources/pve3?keep_tiebreaker=True`);
  t.is((await s.placed("vm-100-disk-1"))["pve3"], "tie-breaker");
});

test("a diskless client has no vote since 1.34, so that a tie-breaker is made beside it", async (t) => {
  for (const [version, kinds] of [
    ["1.34.0", ["disk", "disk", "diskless", "tie-breaker"]],
    ["1.33.2", ["disk", "disk", "diskless"]],
  ] as const) {
    const s = await session(t, { nodes: ["pve1", "pve2", "pve3", "pve4"], behaviour: { version } });
    await s.spawn("vm-100-disk-1", 4096, { select_filter: { place_count: 1, node_name_list: ["pve1"] } });
    await s.do("POST", `${a}/resources/pve3/make-available`, {});
    await s.do("POST", `${a}/resources/pve2/make-available`, { diskful: true });
    t.deepEqual(Object.values(await s.placed("vm-100-disk-1")).sort(), [...kinds], version);
  }
});

test("deleting what is not there is a warning with status 200", async (t) => {
  const s = await session(t);
  await s.spawn("vm-100-disk-1", 4096, { select_filter: { place_count: 1, node_name_list: ["pve1"] } });
  for (const path of [
    "resource-definitions/none",
    `${a}/resources/pve2`,
    `${a}/snapshots/none`,
    "resource-groups/none",
  ]) {
    const { status, entries } = await s.say("DELETE", path);
    t.deepEqual([status, codes(entries)], [200, [3000]], path);
  }
});

test("a definition with snapshots, or in use, is not deleted", async (t) => {
  const s = await session(t);
  await s.spawn("vm-100-disk-1");
  await s.do("POST", `${a}/snapshots`, { name: "keep" });
  t.deepEqual(codes((await s.say("DELETE", a)).entries), [514]);
  await s.do("DELETE", `${a}/snapshots/keep`);
  s.sim.setOpen("pve2", "vm-100-disk-1", "write");
  const { status, entries } = await s.say("DELETE", a);
  t.deepEqual([status, codes(entries)], [500, [997]]);
  t.is(entries[0]?.["cause"], "Resource is mounted/in use.");
  t.deepEqual(Object.keys(await s.placed("vm-100-disk-1")).length, 3, "nothing has gone");
  s.sim.setOpen("pve2", "vm-100-disk-1", "closed");
  await s.do("DELETE", a);
  t.is(s.sim.state.definitions.size, 0);
});

test("the last disk stays while somebody uses it without one", async (t) => {
  const s = await session(t);
  await s.spawn("vm-100-disk-1", 4096, { select_filter: { place_count: 1, node_name_list: ["pve1"] } });
  await s.do("POST", `${a}/resources/pve2/make-available`, {});
  t.deepEqual(codes((await s.say("DELETE", `${a}/resources/pve1`)).entries), [997]);
  await s.do("DELETE", `${a}/resources/pve2`);
  await s.do("DELETE", `${a}/resources/pve1`);
  t.deepEqual(await s.placed("vm-100-disk-1"), {});
});

test("what was closed stays in use until the controller has heard of it", async (t) => {
  const s = await session(t, { behaviour: { inUseDelayMs: 60_000 } });
  await s.spawn("vm-100-disk-1");
  const inUse = async () => {
    const row = (await s.rows("vm-100-disk-1")).find(({ node_name }) => node_name === "pve1");
    return (row?.["state"] as Row | undefined)?.["in_use"];
  };
  const drop = () => s.say("DELETE", "resource-definitions/vm-100-disk-1");
  t.is(await inUse(), false);
  s.sim.setOpen("pve1", "vm-100-disk-1", "write");
  t.is(await inUse(), true);
  s.sim.setOpen("pve1", "vm-100-disk-1", "closed");
  t.is(await inUse(), true);
  t.deepEqual((await drop()).entries.map(codeOf), [997]);
  await s.sim.hurry();
  t.is(await inUse(), false);
  t.is((await drop()).status, 200);
});

test("offline nodes keep what is deleted until they are back", async (t) => {
  const s = await session(t);
  await s.spawn("vm-100-disk-1");
  await s.sim.setNode("pve1", false);
  const gone = await s.do("DELETE", a);
  t.true(codes(gone).includes(1002));
  const rows = await s.rows("vm-100-disk-1");
  t.deepEqual(
    rows.map((row) => [row["node_name"], row["flags"], row["state"]]),
    [["pve1", ["DELETE", "DRBD_DELETE"], undefined]],
  );
  t.deepEqual((await s.definition("vm-100-disk-1"))["flags"], ["DELETE"]);
  await s.sim.setNode("pve1", true);
  t.is(s.sim.state.definitions.size, 0);
  t.deepEqual(s.sim.check(), []);
});

test("resize: grows by extents, refuses to shrink, exact sizes, replicas that are behind, full pools", async (t) => {
  const s = await session(t, { pools: [{ name: "ssd", kind: "LVM", capacity: 64 * 2 ** 20 }] });
  await s.spawn("vm-100-disk-1", 8192);
  const resize = async (name: string, size_kib: number) => {
    const { status, entries } = await s.say("PUT", `resource-definitions/${name}/volume-definitions/0`, {
      size_kib,
    });
    return [status, codes(entries)[0]];
  };
  const usable = async () => Number((await s.volume("vm-100-disk-1", "pve1"))["usable_size_kib"]);
  t.true((await usable()) > 8192, "rounded up");
  t.deepEqual(await resize("vm-100-disk-1", 8192), [200, 1023]);
  t.deepEqual(await resize("vm-100-disk-1", 4096), [500, 206]);
  t.deepEqual(await resize("vm-100-disk-1", 16_384), [200, 3]);
  t.true((await usable()) >= 16_384);
  t.is(((await s.volume("vm-100-disk-1", "pve1"))["allocated_size_kib"] as number) % 4096, 0);
  t.deepEqual(await resize("vm-100-disk-1", 2 ** 20), [500, 980]);
  const path = "resource-definitions/none/volume-definitions/0";
  t.deepEqual(codes((await s.say("PUT", path, { size_kib: 1 })).entries), [301]);
  t.deepEqual(codes((await s.say("PUT", `${a}/volume-definitions/7`, { size_kib: 1 })).entries), [303]);
  await s.sim.setNode("pve2", false);
  t.deepEqual(await resize("vm-100-disk-1", 20_480), [500, 974]);
  await s.sim.setNode("pve2", true);
  await s.spawn("exact", 4096, { resource_definition_props: { "DrbdOptions/ExactSize": "True" } });
  t.is((await s.volume("exact", "pve1"))["usable_size_kib"], 4096);
  t.deepEqual(await resize("exact", 8192), [500, 213]);
  t.deepEqual(s.sim.check(), []);
});

test("each kind of pool rounds in its own way", async (t) => {
  const kinds = ["LVM", "LVM_THIN", "ZFS", "ZFS_THIN", "FILE", "FILE_THIN"] as const;
  const s = await session(t, {
    pools: kinds.map((kind) => ({ name: kind.toLowerCase(), kind })),
    groups: kinds.map((kind) => ({
      name: kind,
      layers: ["STORAGE" as const],
      pools: [kind.toLowerCase()],
      placeCount: 1,
    })),
  });
  const sizes: Record<string, unknown> = {};
  for (const kind of kinds) {
    await s.spawn(`r-${kind}`, 4100, {}, kind);
    const [row] = await s.rows(`r-${kind}`);
    sizes[kind] = (row?.["volumes"] as Row[] | undefined)?.[0]?.["usable_size_kib"];
  }
  t.deepEqual(sizes, { LVM: 8192, LVM_THIN: 8192, ZFS: 4112, ZFS_THIN: 4112, FILE: 4100, FILE_THIN: 4100 });
  s.sim.configure({ zfsBlockKib: 8 });
  await s.spawn("r-old", 4100, {}, "ZFS");
  t.is(((await s.rows("r-old"))[0]?.["volumes"] as Row[] | undefined)?.[0]?.["usable_size_kib"], 4104);
});

test("a replica that is added later is behind for a while", async (t) => {
  const s = await session(t, { behaviour: { syncMs: 3_600_000 } });
  await s.spawn("vm-100-disk-1", 4096, { select_filter: { place_count: 1, node_name_list: ["pve1"] } });
  await s.do("POST", `${a}/resources/pve2/make-available`, { diskful: true });
  const state = async () => ((await s.volume("vm-100-disk-1", "pve2"))["state"] as Row)["disk_state"];
  t.is(await state(), "Inconsistent");
  t.deepEqual(await s.get(`${a}/sync-status`), { synced_on_all: false } as never);
  t.deepEqual(codes((await s.say("PUT", `${a}/volume-definitions/0`, { size_kib: 8192 })).entries), [974]);
  await s.sim.hurry();
  t.is(await state(), "UpToDate");
  t.deepEqual(await s.get(`${a}/sync-status`), { synced_on_all: true } as never);
});

test("properties: changed, deleted, by namespace, and those that no rule knows are refused", async (t) => {
  const s = await session(t, { groups: ["rg1", "rg2"] });
  await s.spawn("vm-100-disk-1");
  const props = async () => (await s.definition("vm-100-disk-1"))["props"];
  await s.do("PUT", a, {
    override_props: { "Aux/pm/vmid": "100", "Aux/x": "1", "DrbdOptions/Net/protocol": "C" },
  });
  await s.do("PUT", a, {
    delete_props: ["Aux/x", "Aux/not-there"],
    override_props: { "Aux/pm/vmid": "101" },
  });
  t.deepEqual(await props(), { "Aux/pm/vmid": "101", "DrbdOptions/Net/protocol": "C" });
  await s.do("PUT", a, { delete_namespaces: ["Aux"] });
  t.deepEqual(await props(), { "DrbdOptions/Net/protocol": "C" });
  for (const override_props of [
    { vmid: "100" },
    { "DrbdOptions/Net/allow-two-primaries": "maybe" },
    { "DrbdOptions/ExactSize": "True" },
  ])
    t.deepEqual(
      codes((await s.say("PUT", a, { override_props })).entries),
      [213],
      JSON.stringify(override_props),
    );
  await s.do("PUT", a, { resource_group: "RG2" });
  t.is((await s.definition("vm-100-disk-1"))["resource_group_name"], "rg2");
  t.deepEqual(codes((await s.say("PUT", a, { resource_group: "none" })).entries), [317]);
});

test("connections: of two resources that are there, whatever their order, and gone with one of them", async (t) => {
  const s = await session(t);
  await s.spawn("vm-100-disk-1");
  const pair = `${a}/resource-connections/pve2/pve1`;
  const key = "DrbdOptions/Net/allow-two-primaries";
  await s.do("PUT", pair, { override_props: { [key]: "yes", "DrbdOptions/Net/protocol": "C" } });
  const rows = await s.get(`${a}/resource-connections/pve1/pve2`);
  t.deepEqual(rows, [
    { node_a: "pve1", node_b: "pve2", props: { [key]: "yes", "DrbdOptions/Net/protocol": "C" } },
  ]);
  t.is((await s.get(`${a}/resource-connections`)).length, 1);
  t.deepEqual(s.sim.check(), [`vm-100-disk-1: PVE1/PVE2 still has ${key}`]);
  t.deepEqual(s.sim.check({ migrating: ["vm-100-disk-1"] }), []);
  await s.do("PUT", pair, { delete_props: [key, "DrbdOptions/Net/protocol"] });
  t.deepEqual(s.sim.check(), []);
  const none = await s.say("PUT", `${a}/resource-connections/pve1/none`, {
    override_props: { "Aux/a": "b" },
  });
  t.deepEqual([none.status, codes(none.entries)], [404, [300]]);
  await s.do("DELETE", `${a}/resources/pve3`);
  const away = await s.say("PUT", `${a}/resource-connections/pve1/pve3`, {
    override_props: { "Aux/a": "b" },
  });
  t.deepEqual([away.status, codes(away.entries)], [404, [302]]);
  await s.do("POST", `${a}/resources/pve3/make-available`, {});
  await s.do("PUT", `${a}/resource-connections/pve1/pve3`, { override_props: { "Aux/a": "b" } });
  await s.do("PUT", a, { override_props: { [property]: "False" } });
  await s.do("DELETE", `${a}/resources/pve3`);
  t.deepEqual(await s.get(`${a}/resource-connections`), []);
});

test("a disk is taken away and given back, old and new requests", async (t) => {
  const s = await session(t);
  await s.spawn("vm-100-disk-1");
  const path = `${a}/resources/pve3/toggle-disk`;
  const placed = async () => (await s.placed("vm-100-disk-1"))["pve3"];
  await s.do("PUT", path, { operation: "INTO_DRBD_DISKFUL" });
  t.is(await placed(), "disk");
  t.deepEqual(codes(await s.do("PUT", path, { operation: "INTO_DRBD_DISKFUL" })), [1007]);
  await s.do("PUT", path, { operation: "INTO_DRBD_DISKLESS" });
  t.is(await placed(), "diskless");
  await s.do("PUT", `${path}/diskful/ssd`);
  t.is(await placed(), "disk");
  await s.do("PUT", `${path}/diskless`);
  t.is(await placed(), "diskless");
  t.deepEqual(codes(await s.do("PUT", `${path}/diskless`)), [1008]);
  t.deepEqual(codes((await s.say("PUT", `${path}/diskful/gone`)).entries), [310]);
  t.deepEqual(s.sim.check(), []);
});

test("writers on two nodes at once are noted, unless something permits them", async (t) => {
  const s = await session(t);
  await s.spawn("vm-100-disk-1");
  const key = "DrbdOptions/Net/allow-two-primaries";
  await s.do("PUT", a, { override_props: { [key]: "yes" } });
  for (const node of ["pve1", "pve2"]) s.sim.setOpen(node, "vm-100-disk-1", "write");
  t.deepEqual(s.sim.check(), []);
  s.sim.setOpen("pve2", "vm-100-disk-1", "closed");
  await s.do("PUT", a, { delete_props: [key] });
  t.deepEqual(s.sim.check(), []);
  await s.do("PUT", `${a}/resource-connections/pve1/pve3`, { override_props: { [key]: "yes" } });
  s.sim.setOpen("pve3", "vm-100-disk-1", "write");
  t.deepEqual(s.sim.check({ migrating: true }), []);
  s.sim.setOpen("pve3", "vm-100-disk-1", "closed");
  s.sim.setOpen("pve2", "vm-100-disk-1", "write");
  s.sim.setOpen("pve2", "vm-100-disk-1", "closed");
  t.deepEqual(s.sim.check({ migrating: true }), [
    "vm-100-disk-1: two primaries without permission, pve1 and pve2",
  ]);
});
