// SPDX-License-Identifier: AGPL-3.0-or-later
import test from "ava";
import { shareOut } from "../../sim/linstor/sizes.js";
import { codeOf, type Entry, entriesOf, type Row, type Session, session } from "./linstor.js";

const gib = 2 ** 30;
const kib = (bytes: number) => bytes / 1024;

interface SizeInfo {
  readonly space_info?: Row;
  readonly reports?: readonly Row[];
}

async function sizes(s: Session, body: Row = {}): Promise<Record<string, SizeInfo>> {
  const { text } = await s.raw("POST", "/v1/queries/resource-groups/query-all-size-info", body);
  return (JSON.parse(text) as { result: Record<string, SizeInfo> }).result;
}

test("capacity: the N-th largest again and again", (t) => {
  t.is(shareOut([10, 10, 10], 1), 30);
  t.is(shareOut([10, 10], 2), 10);
  t.is(shareOut([10, 10, 10], 2), 10);
  t.is(shareOut([10, 4, 3], 2), 7);
  t.is(shareOut([10, 4, 3], 3), 3);
  t.is(shareOut([10], 2), 0);
  t.is(shareOut([], 1), 0);
});

test("size info: capacity, what is available, the largest volume, and where it would go", async (t) => {
  const s = await session(t, {
    nodes: ["pve1", "pve2", { name: "pve3", layers: ["STORAGE"] }],
    pools: [
      { name: "thick", kind: "LVM", capacity: 8 * gib },
      { name: "thin", kind: "LVM_THIN", capacity: 8 * gib },
    ],
    groups: [
      { name: "thick", pools: ["thick"] },
      { name: "thin", pools: ["thin"] },
      { name: "single", pools: ["thick"], placeCount: 1, layers: ["STORAGE"] },
      { name: "none", pools: ["gone"] },
      { name: "many", pools: ["thin"], placeCount: 4 },
    ],
  });
  const before = await sizes(s);
  t.like(before["thick"]?.space_info, {
    capacity_in_kib: kib(8 * gib),
    available_size_in_kib: kib(8 * gib),
    max_vlm_size_in_kib: kib(8 * gib),
    default_max_oversubscription_ratio: 20,
  });
  t.is(before["single"]?.space_info?.["capacity_in_kib"], kib(24 * gib));
  t.is(before["thin"]?.space_info?.["max_vlm_size_in_kib"], kib(8 * gib) * 20);
  t.like(before["many"]?.space_info, {
    capacity_in_kib: 0,
    available_size_in_kib: 0,
    max_vlm_size_in_kib: 0,
  });
  t.is(before["none"]?.space_info, undefined);
  t.true((before["none"]?.reports ?? []).length > 0, "with HTTP 200");
  await s.spawn("vm-100-disk-1", kib(gib), {}, "thick");
  await s.spawn("vm-100-disk-2", kib(gib), {}, "thin");
  const after = await sizes(s);
  // Both pools have a GiB less, and DRBD's metadata.
  const thick = Number(after["thick"]?.space_info?.["available_size_in_kib"]);
  t.true(thick < kib(8 * gib) && thick > kib(6.9 * gib), String(thick));
  t.is(after["thick"]?.space_info?.["capacity_in_kib"], kib(8 * gib));
  const next = after["thick"]?.space_info?.["next_spawn_result"] as Row[];
  t.deepEqual(
    next.map((row) => row["stor_pool_name"]),
    ["thick", "thick"],
  );
  t.is(new Set(next.map((row) => row["node_name"])).size, 2);
  const { text } = await s.raw("POST", "/v1/resource-groups/gone/query-size-info", {});
  const { reports } = JSON.parse(text) as { reports: Row[] };
  t.is(reports.length, 1);
  t.is(codeOf(entriesOf(JSON.stringify(reports))[0] as Entry) >= 0, true);
});

test("size info: a request says how old the answer may be", async (t) => {
  let now = 1_700_000_000_000;
  const s = await session(t, {
    now: () => now,
    nodes: ["pve1", "pve2"],
    pools: [{ name: "ssd", kind: "LVM", capacity: gib }],
  });
  const free = async (age: number) => {
    const all = await sizes(s, { ignore_cache_older_than_sec: age });
    return all["rg1"]?.space_info?.["available_size_in_kib"];
  };
  const full = await free(60);
  await s.spawn("vm-100-disk-1", kib(gib) / 4);
  t.is(await free(60), full);
  const real = await free(-1);
  t.not(real, full);
  t.is(await free(60), real, "which is remembered");
  await s.do("DELETE", "resource-definitions/vm-100-disk-1");
  t.is(await free(60), real);
  now += 61_000;
  t.is(await free(60), full);
});

test("views: states are missing for offline nodes, and what they have is unknown", async (t) => {
  const s = await session(t);
  await s.spawn("vm-100-disk-1");
  await s.sim.setNode("pve1", false);
  const rows = await s.rows("vm-100-disk-1");
  const [first, second, third] = rows;
  t.is(first?.["state"], undefined);
  t.is((first?.["volumes"] as Row[] | undefined)?.[0]?.["state"], undefined);
  t.deepEqual(second?.["state"], { in_use: false });
  const linked = async () => {
    const { layer_object: layer } = ((await s.rows("vm-100-disk-1"))[1] ?? {}) as {
      layer_object?: { drbd: { connections: Record<string, unknown> } };
    };
    return layer?.drbd.connections["pve1"];
  };
  t.deepEqual(await linked(), { connected: false, message: "Connecting" });
  await s.sim.setNode("pve1", false, undefined, true);
  t.deepEqual(await linked(), { connected: true, message: "Connected" }, "only the satellite is away");
  t.deepEqual(third?.["flags"], ["DISKLESS", "DRBD_DISKLESS", "TIE_BREAKER"]);
  const pool = (await s.get("view/storage-pools?nodes=pve1&storage_pools=ssd"))[0];
  t.is(pool?.["free_capacity"], undefined);
  t.is((pool?.["reports"] as Row[] | undefined)?.length, 1);
  const node = (await s.get("nodes?nodes=PVE1"))[0];
  t.is(node?.["connection_status"], "OFFLINE");
});

test("views: rows as the API has them, with lists of layers", async (t) => {
  const s = await session(t, { groups: ["rg1", { name: "crypt", layers: ["DRBD", "LUKS", "STORAGE"] }] });
  await s.spawn("vm-100-disk-1");
  const [row] = await s.rows("vm-100-disk-1");
  const volume = (row?.["volumes"] as Row[] | undefined)?.[0];
  t.is(volume?.["device_path"], "/dev/drbd1000");
  const layer = row?.["layer_object"] as {
    type: string;
    drbd: Row;
    children: { type: string; storage: Row }[];
  };
  t.is(layer.type, "DRBD");
  t.like((layer.drbd["drbd_volumes"] as Row[])[0], {
    device_path: "/dev/drbd1000",
    backing_device: "/dev/ssd/vm-100-disk-1_00000",
    usable_size_kib: volume?.["usable_size_kib"],
  });
  t.is(layer.children[0]?.type, "STORAGE");
  await s.spawn("vm-100-disk-2", 4096, {}, "crypt");
  const [crypt] = await s.rows("vm-100-disk-2");
  const types: string[] = [];
  for (
    let at = crypt?.["layer_object"] as Row | undefined;
    at;
    at = (at["children"] as Row[] | undefined)?.[0]
  )
    types.push(String(at["type"]));
  t.deepEqual(types, ["DRBD", "LUKS", "STORAGE"]);
});

test("views: filters by name without case, by property, by page", async (t) => {
  const s = await session(t, { groups: ["rg1", "rg2"] });
  for (let n = 0; n < 3; n++)
    await s.spawn(
      `vm-10${n}-disk-0`,
      4096,
      { resource_definition_props: { "Aux/n": String(n) } },
      n < 2 ? "rg1" : "rg2",
    );
  const names = async (query: string) => (await s.get(query)).map((row) => row["name"]);
  t.deepEqual(await names("resource-definitions?resource_definitions=VM-101-DISK-0"), ["vm-101-disk-0"]);
  t.deepEqual(await names("resource-definitions?props=Aux/n=2"), ["vm-102-disk-0"]);
  t.is((await names("resource-definitions?props=Aux/n")).length, 3);
  t.deepEqual(await names("resource-definitions?offset=1&limit=1"), ["vm-101-disk-0"]);
  const rows = "view/resources?resources=vm-100-disk-0&resources=vm-102-disk-0&nodes=pve1";
  t.deepEqual(await names(rows), ["vm-100-disk-0", "vm-102-disk-0"]);
  t.deepEqual(await names("resource-groups?resource_groups=rg2"), ["rg2"]);
  const [definition] = await s.get("resource-definitions?with_volume_definitions=true&limit=1");
  t.is((definition?.["volume_definitions"] as Row[] | undefined)?.[0]?.["size_kib"], 4096);
});

test("versions say what the server is", async (t) => {
  const s = await session(t, { behaviour: { version: "1.31.2" } });
  t.like(await s.get<Row>("controller/version"), { version: "1.31.2", rest_api_version: "1.24.0" });
});

test("foreign volumes: of another group, of other software, with several volumes, almost right names", async (t) => {
  const s = await session(t, { foreign: "rg1" });
  const rows = await s.get("resource-definitions?with_volume_definitions=true");
  t.true(rows.some((row) => row["resource_group_name"] === "rg1-other"));
  t.true(rows.some((row) => ((row["volume_definitions"] ?? []) as Row[]).length === 2));
  t.true(rows.some((row) => row["external_name"] !== undefined));
  t.deepEqual(s.sim.check(), []);
  const first = await s.get("view/resources");
  t.is((first[0]?.["volumes"] as Row[] | undefined)?.length, 1);
});

test("200 volumes are listed in seconds", async (t) => {
  const s = await session(t);
  for (let n = 0; n < 200; n += 20)
    await Promise.all(Array.from({ length: 20 }, (_, k) => s.spawn(`vm-${n + k}-disk-0`, 4096)));
  const start = performance.now();
  t.is((await s.get("view/resources")).length, 600);
  t.true(performance.now() - start < 5_000);
});
