// SPDX-License-Identifier: AGPL-3.0-or-later
import test from "ava";
import { codeOf, type Entry, type Row, type Session, session, severityOf } from "./linstor.js";

const codes = (entries: readonly Entry[]) => entries.map(codeOf);
const a = "resource-definitions/vm-100-disk-1";

/** Spawns with whatever body, and says status and first error. */
async function refused(s: Session, body: Row, group = "rg1"): Promise<unknown> {
  const { status, entries } = await s.say("POST", `resource-groups/${group}/spawn`, body);
  return [status, codeOf(entries.find((entry) => severityOf(entry) === "error") as Entry)];
}

test("names: 2 to 48 characters of some kinds, not reserved, and compared without case", async (t) => {
  const s = await session(t);
  for (const name of ["a", "a".repeat(49), "all", "Proxy", "1a", "a.b", "a b", "-a", "__", "é".repeat(3)]) {
    t.deepEqual(await refused(s, { resource_definition_name: name, volume_sizes: [4096] }), [500, 202], name);
  }
  for (const name of ["ab", "a".repeat(48), "_a", "vm-100-disk-1", "pm-1a2b3c4d", "A_-9"])
    await s.spawn(name, 4096);
  await s.spawn("Vm-1-Disk-0", 4096);
  t.deepEqual(
    await refused(s, { resource_definition_name: "vm-1-disk-0", volume_sizes: [4096] }),
    [500, 501],
  );
  t.is((await s.definition("VM-1-DISK-0"))["name"], "Vm-1-Disk-0", "shown as it was made");
  const taken = async (name: string) =>
    (await s.say("POST", `${a}/snapshots`, { name })).entries.map(codeOf)[0];
  t.is(await taken("x".repeat(49)), 218);
  t.is(await taken("9x"), 218);
  t.is(await taken("Test"), 1);
  t.is(await taken("tEST"), 514);
  const group = await s.say("POST", "resource-groups", { name: "a b" });
  t.deepEqual([group.status, codes(group.entries)], [500, [237]]);
});

test("an external name may be anything; the service makes a legal one", async (t) => {
  const s = await session(t);
  const body = { resource_definition_external_name: "VM 100: disk/1 ü", volume_sizes: [4096] };
  await s.do("POST", "resource-groups/rg1/spawn", body);
  const [row] = await s.get("resource-definitions");
  t.is(row?.["external_name"], "VM 100: disk/1 ü");
  t.regex(String(row?.["name"]), /^_VM100disk1_[a-z0-9]{8}$/);
  t.deepEqual(await refused(s, body), [500, 517]);
  t.deepEqual(await refused(s, { volume_sizes: [4096] }), [500, 202]);
});

test("spawn: sizes as many as volume groups, an existing name, a missing group", async (t) => {
  const s = await session(t, {
    groups: ["rg1", { name: "none", volumeGroups: 0 }, { name: "two", volumeGroups: 2 }],
  });
  t.deepEqual(await refused(s, { resource_definition_name: "vm-1-disk-0", volume_sizes: [] }), [500, 228]);
  t.deepEqual(
    await refused(s, { resource_definition_name: "vm-1-disk-0", volume_sizes: [1, 2] }),
    [500, 228],
  );
  t.deepEqual(
    await refused(s, { resource_definition_name: "vm-1-disk-0", volume_sizes: [9] }, "gone"),
    [404, 317],
  );
  t.deepEqual(await refused(s, { resource_definition_name: "vm-1-disk-0", volume_sizes: [0] }), [500, 206]);
  t.is(s.sim.state.definitions.size, 0, "nothing is left");
  await s.spawn("two", 4096, { partial: true }, "two");
  const assumed = await s.do("POST", "resource-groups/none/spawn", {
    resource_definition_name: "many",
    volume_sizes: [4096, 8192],
  });
  t.is(severityOf(assumed[0] as Entry), "info");
  t.is(((await s.get("resource-definitions/many/volume-definitions")) as Row[]).length, 2);
  t.deepEqual(s.sim.check(), []);
});

test("spawn: definitions only, or a group without place count, ends with information 10000", async (t) => {
  const s = await session(t, { groups: ["rg1", { name: "free", placeCount: null }] });
  const only = await s.do("POST", "resource-groups/rg1/spawn", {
    resource_definition_name: "vm-100-disk-1",
    volume_sizes: [4096],
    definitions_only: true,
  });
  t.deepEqual(codes(only), [1, 1, 10_000]);
  t.is(severityOf(only[2] as Entry), "info");
  t.deepEqual(await s.placed("vm-100-disk-1"), {});
  const free = await s.do("POST", "resource-groups/free/spawn", {
    resource_definition_name: "vm-100-disk-2",
    volume_sizes: [4096],
  });
  t.is(codes(free).at(-1), 10_000);
  t.deepEqual(s.sim.check(), [
    "vm-100-disk-1: a resource definition without resources",
    "vm-100-disk-2: a resource definition without resources",
  ]);
  t.deepEqual(s.sim.check({ empty: true }), []);
});

test("spawn: a placement that is impossible leaves nothing; a failing satellite leaves half", async (t) => {
  const s = await session(t, { nodes: ["pve1"] });
  const body = { resource_definition_name: "vm-100-disk-1", volume_sizes: [4096] };
  t.deepEqual(await refused(s, body), [500, 996]);
  t.is(s.sim.state.definitions.size, 0);
  s.sim.inject({ kind: "deploy-fails", on: "spawn" });
  t.deepEqual(await refused(s, { ...body, select_filter: { place_count: 1 } }), [500, 998]);
  t.is(s.sim.state.definitions.size, 1);
});

test("autoplace: what is missing, nothing missing (1006 with 201), too many there, impossible (996)", async (t) => {
  const s = await session(t);
  await s.spawn("vm-100-disk-1", 4096, { definitions_only: true });
  await s.do("POST", `${a}/resources/pve2/make-available`, { diskful: true });
  t.deepEqual(await s.placed("vm-100-disk-1"), { pve2: "disk" });
  await s.do("POST", `${a}/autoplace`, {});
  t.is(Object.values(await s.placed("vm-100-disk-1")).filter((kind) => kind === "disk").length, 2);
  const again = await s.say("POST", `${a}/autoplace`, {});
  t.deepEqual(
    [again.status, codes(again.entries), again.entries.map(severityOf)],
    [201, [1006], ["warning"]],
  );
  const fewer = await s.say("POST", `${a}/autoplace`, { select_filter: { place_count: 1 } });
  t.deepEqual([fewer.status, codes(fewer.entries)], [500, [219]]);
  const more = await s.say("POST", `${a}/autoplace`, { select_filter: { place_count: 4 } });
  t.deepEqual([more.status, codes(more.entries)], [500, [996]]);
  await s.do("POST", `${a}/autoplace`, { select_filter: { additional_place_count: 1 } });
  t.deepEqual(Object.values(await s.placed("vm-100-disk-1")), ["disk", "disk", "disk"]);
  const missing = await s.say("POST", "resource-definitions/none/autoplace", {});
  t.deepEqual([missing.status, codes(missing.entries)], [404, [301]]);
});

test("autoplace: filters by node, pool and kind; nodes that are offline or evicted are left out", async (t) => {
  const s = await session(t, {
    nodes: ["pve1", "pve2", { name: "pve3", props: { "Aux/zone": "b" } }],
    pools: [
      { name: "ssd", kind: "LVM_THIN" },
      { name: "hdd", kind: "ZFS", nodes: ["pve1", "pve2"] },
    ],
    groups: [{ name: "rg1", placeCount: 1 }],
  });
  const place = async (name: string, select_filter: Row) => {
    const { status } = await s.say("POST", "resource-groups/rg1/spawn", {
      resource_definition_name: name,
      volume_sizes: [4096],
      select_filter,
    });
    if (status !== 201) return status;
    const rows = await s.rows(name);
    const disks = rows.filter(({ flags }) => flags === undefined);
    return disks.map((row) => [row["node_name"], (row["volumes"] as Row[])[0]?.["storage_pool_name"]]);
  };
  t.deepEqual(await place("n-1", { node_name_list: ["PVE2"], storage_pool: "ssd" }), [["pve2", "ssd"]]);
  t.deepEqual(await place("n-2", { provider_list: ["ZFS"], node_name_list: ["pve1"] }), [["pve1", "hdd"]]);
  t.is(await place("n-3", { storage_pool_list: ["hdd"], place_count: 3 }), 500);
  t.deepEqual(await place("n-4", { replicas_on_same: ["Aux/zone=b"] }), [["pve3", "ssd"]]);
  t.is(await place("n-5", { replicas_on_different: ["Aux/zone"], place_count: 3 }), 500);
  await s.sim.setNode("pve1", false);
  s.sim.state.node("pve2").flags.add("EVICTED");
  t.deepEqual(await place("n-6", {}), [["pve3", "ssd"]]);
  t.is(await place("n-7", { place_count: 2 }), 500);
});

test("make-available: each branch", async (t) => {
  const s = await session(t, { nodes: ["pve1", "pve2", "pve3", { name: "plain", layers: ["STORAGE"] }] });
  await s.spawn("vm-100-disk-1", 4096, { definitions_only: true });
  const make = async (node: string, body: Row = {}) => {
    const { status, entries } = await s.say("POST", `${a}/resources/${node}/make-available`, body);
    return [status, ...codes(entries)];
  };
  const placed = () => s.placed("vm-100-disk-1");
  t.deepEqual(await make("pve1"), [200, 1], "nobody has a disk yet: diskful");
  t.deepEqual(await placed(), { pve1: "disk" });
  t.deepEqual(await make("pve1", { diskful: true }), [200, 0], "already there");
  t.deepEqual(await make("pve2", { diskful: false }), [200, 1]);
  t.deepEqual(await placed(), { pve1: "disk", pve2: "diskless" });
  t.deepEqual(await make("pve2"), [200, 0]);
  t.deepEqual(
    await make("pve2", { diskful: true }),
    [200, 10_003, 1],
    "gets a disk, and brings a tie-breaker",
  );
  t.deepEqual(await placed(), { pve1: "disk", pve2: "disk", pve3: "tie-breaker" });
  t.deepEqual(await make("pve3"), [200, 0], "the tie-breaker becomes an ordinary one");
  t.deepEqual(await placed(), { pve1: "disk", pve2: "disk", pve3: "diskless" });
  t.deepEqual(await make("plain"), [500, 988], "without DRBD");
  t.deepEqual(await make("none"), [404, 300]);
  t.deepEqual(await make("pve3", { layer_list: ["STORAGE"] }), [500, 225]);
  t.deepEqual(s.sim.check(), []);
});

test("make-available: a pool is needed for a disk, and none on the node is 310", async (t) => {
  const s = await session(t, { pools: [{ name: "ssd", nodes: ["pve1", "pve2"] }] });
  await s.spawn("vm-100-disk-1", 4096, { definitions_only: true });
  const { status, entries } = await s.say("POST", `${a}/resources/pve3/make-available`, { diskful: true });
  t.deepEqual([status, codes(entries)], [404, [310]]);
  await s.do("POST", `${a}/autoplace`, {});
  t.is((await s.placed("vm-100-disk-1"))["pve3"], "tie-breaker");
});

test("make-available: a stack without DRBD gets a second, independent copy", async (t) => {
  const s = await session(t, { groups: [{ name: "rg1", layers: ["STORAGE"], placeCount: 1 }] });
  await s.spawn("vm-100-disk-1", 4096);
  const [node = ""] = Object.keys(await s.placed("vm-100-disk-1"));
  const other = node === "pve1" ? "pve2" : "pve1";
  await s.do("POST", `${a}/resources/${other}/make-available`, { diskful: false });
  t.deepEqual(await s.placed("vm-100-disk-1"), { [node]: "disk", [other]: "disk" });
  t.not(s.sim.device(node, "vm-100-disk-1")?.data, s.sim.device(other, "vm-100-disk-1")?.data);
});

test("make-available: an NVMe stack gets an initiator", async (t) => {
  const s = await session(t, { groups: [{ name: "rg1", layers: ["NVME", "STORAGE"], placeCount: 1 }] });
  await s.spawn("vm-100-disk-1", 4096, { select_filter: { node_name_list: ["pve1"] } });
  await s.do("POST", `${a}/resources/pve2/make-available`, {});
  const row = (await s.rows("vm-100-disk-1")).find((one) => one["node_name"] === "pve2");
  t.deepEqual(row?.["flags"], ["DISKLESS", "NVME_INITIATOR"]);
  t.regex(String((await s.volume("vm-100-disk-1", "pve2"))["device_path"]), /^\/dev\/nvme/);
  t.is(s.sim.device("pve2", "vm-100-disk-1")?.data, s.sim.device("pve1", "vm-100-disk-1")?.data);
  t.deepEqual(s.sim.check(), []);
});

test("make-available: at an offline node success with a warning, and a device when it is back", async (t) => {
  const s = await session(t);
  await s.spawn("vm-100-disk-1", 4096, { select_filter: { place_count: 1, node_name_list: ["pve1"] } });
  await s.sim.setNode("pve3", false);
  const { status, entries } = await s.say("POST", `${a}/resources/pve3/make-available`, {});
  t.is(status, 200);
  t.deepEqual(codes(entries), [1002]);
  t.is(s.sim.device("pve3", "vm-100-disk-1"), undefined);
  await s.sim.setNode("pve3", true);
  t.truthy(s.sim.device("pve3", "vm-100-disk-1"));
  await s.sim.setNode("pve2", false);
  s.sim.configure({ availableOffline: "error" });
  t.deepEqual(codes((await s.say("POST", `${a}/resources/pve2/make-available`, {})).entries), [995]);
});

test("a resource is created on a named node and pool, once", async (t) => {
  const s = await session(t, { pools: ["ssd", { name: "hdd", kind: "LVM" }] });
  await s.spawn("vm-100-disk-1", 4096, { definitions_only: true });
  const one = (node: string, resource: Row) => s.say("POST", `${a}/resources/${node}`, { resource });
  t.is((await one("pve1", { props: { StorPoolName: "hdd" } })).status, 201);
  t.is((await s.volume("vm-100-disk-1", "pve1"))["provider_kind"], "LVM");
  t.deepEqual(codes((await one("pve1", {})).entries), [502]);
  t.deepEqual(codes((await one("pve2", { props: { StorPoolName: "gone" } })).entries), [310]);
  t.is((await one("pve2", { flags: ["DISKLESS"] })).status, 201);
  const many = [{ resource: { node_name: "pve3" }, drbd_client: true }];
  t.is((await s.say("POST", `${a}/resources`, many)).status, 201);
  t.deepEqual(await s.placed("vm-100-disk-1"), { pve1: "disk", pve2: "diskless", pve3: "diskless" });
});
