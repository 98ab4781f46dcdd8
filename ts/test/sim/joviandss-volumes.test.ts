// SPDX-License-Identifier: AGPL-3.0-or-later
import test from "ava";
import { mib, type Row, session } from "./joviandss.js";

test("a volume is created, shown with decimal strings, renamed with its identity, grown, deleted", async (t) => {
  const s = await session(t);
  const made = await s.ask("POST", "volumes", {
    name: "v_a",
    size: "1073741824",
    sparse: false,
    blocksize: "64K",
  });
  t.deepEqual(made, { origin: null, is_clone: false, full_name: "Pool-0/v_a", name: "v_a" });
  const shown = await s.ask("GET", "volumes/v_a");
  t.like(shown, {
    volsize: "1073741824",
    volblocksize: "65536",
    refreservation: "1080033280",
    origin: null,
    is_clone: false,
  });
  const id = String(shown["san:volume_id"]);
  t.regex(id, /^[0-9a-f]{40}$/);
  t.is(shown["default_scsi_id"], id.slice(0, 16));
  await s.ask("PUT", "volumes/v_a", { size: "2147483648" });
  await s.ask("PUT", "volumes/v_a", { name: "v_b" });
  t.like(await s.ask("GET", "volumes/v_b"), { volsize: "2147483648", "san:volume_id": id });
  t.like(await s.refused("GET", "volumes/v_a"), { message: "Resource Pool-0/v_a not found." });
  t.deepEqual(await s.raw("DELETE", "pools/Pool-0/volumes/v_b", {}), { status: 204, text: "" });
  t.deepEqual(await s.rows("volumes"), []);
  t.deepEqual(s.sim.check(), []);
});

test("a missing volume is reported in the two encodings, with and without errno", async (t) => {
  const s = await session(t);
  const modern = await s.refused("GET", "volumes/v_x");
  t.is(modern.class, "opene.exceptions.ItemNotFoundError");
  t.is(modern.status, 404);
  t.false("errno" in modern);
  s.sim.configure({ errors: "legacy" });
  const legacy = await s.refused("GET", "volumes/v_x");
  t.like(legacy, {
    class: "zfslib.zfsapi.resources.ZfsResourceError",
    errno: 1,
    status: 500,
    message: "Zfs resource: Pool-0/v_x not found in this collection.",
  });
  s.sim.configure({ errno: "string" });
  t.is((await s.refused("GET", "volumes/v_x")).errno, "1");
  s.sim.configure({ errno: "absent", errorWithout: ["class", "url"] });
  t.deepEqual(Object.keys(await s.refused("GET", "volumes/v_x")).sort(), ["message", "status"]);
});

test("what a volume cannot be is refused", async (t) => {
  const s = await session(t, { pools: [{ name: "Pool-0", size: 1024 * mib }] });
  await s.volume("v_a");
  const bad: Row[] = [
    { name: "v a", size: "4096" },
    { name: "v_b", size: "0" },
    { name: "v_b", size: "4096", blocksize: "3K" },
    { name: "v_b" },
  ];
  for (const body of bad) t.is((await s.refused("POST", "volumes", body)).status, 400, JSON.stringify(body));
  const unknown = await s.refused("POST", "volumes", { name: "v_b", size: "16384", colour: 1 });
  t.is(unknown.message, "Additional properties are not allowed ('colour' was unexpected)");
  t.like(await s.refused("POST", "volumes", { name: "v_a", size: "16384" }), {
    status: 500,
    message: "Resource v_a already exists.",
    errno: 5,
  });
  const full = await s.refused("POST", "volumes", { name: "v_b", size: String(2048 * mib), sparse: false });
  t.is(full.message, `New zvol size(${2048 * mib}) exceeds available space on pool Pool-0(${1024 * mib}).`);
  await s.volume("v_thin", { size: String(2048 * mib) });
  t.is((await s.refused("PUT", "volumes/v_a", { size: "16384" })).status, 400, "shrinking");
  s.sim.configure({ strictBodies: false });
  await s.volume("v_b", { colour: 1 });
});

test("a size between two blocks is rounded down, refused or taken", async (t) => {
  const s = await session(t);
  const size = async (name: string) => Number((await s.ask("GET", `volumes/${name}`))["volsize"]);
  await s.volume("v_a", { size: String(mib + 512) });
  t.is(await size("v_a"), mib);
  s.sim.configure({ unaligned: "accept" });
  await s.ask("PUT", "volumes/v_a", { size: String(mib + 1024) });
  t.is(await size("v_a"), mib + 1024);
  s.sim.configure({ unaligned: "reject" });
  t.is((await s.refused("PUT", "volumes/v_a", { size: String(2 * mib + 1) })).status, 400);
});

const matrix: {
  title: string;
  clones?: boolean;
  snapshots?: boolean;
  attached?: boolean;
  body: Row;
  says?: RegExp;
}[] = [
  { title: "bare", body: {} },
  { title: "with snapshots", snapshots: true, body: {}, says: /volume has children/ },
  { title: "with snapshots, recursively", snapshots: true, body: { recursively_children: true } },
  {
    title: "with clones, recursively",
    clones: true,
    body: { recursively_children: true, force_umount: true },
    says: /you must delete all of its clones first/,
  },
  { title: "attached", attached: true, body: {}, says: /is already used/ },
];
for (const { title, snapshots, clones, attached, body, says } of matrix) {
  test(`deleting a volume ${title}: ${says ? "refused, and nothing is gone" : "done"}`, async (t) => {
    const s = await session(t);
    await s.volume("v_a");
    if (snapshots || clones) await s.snapshot("v_a", "s_1");
    if (clones) await s.clone("v_a", "s_1", "v_c");
    if (attached) {
      await s.target();
      await s.attach("v_a");
    }
    if (says) {
      t.regex((await s.refused("DELETE", "volumes/v_a", body)).message ?? "", says);
      t.like(await s.ask("GET", "volumes/v_a"), { name: "v_a" });
    } else {
      await s.ask("DELETE", "volumes/v_a", body);
      t.is(s.sim.pool().snapshots.size, 0);
    }
    t.deepEqual(s.sim.check(), []);
  });
}

test("an attached volume that is deleted by force leaves an orphan, which the check finds", async (t) => {
  const s = await session(t);
  await s.volume("v_a");
  await s.target();
  await s.attach("v_a", 3);
  await s.ask("DELETE", "volumes/v_a", { force_umount: true });
  t.is((await s.rows(`san/iscsi/targets/iqn.2025-06.proxmox.pool-0:vm-100-0/luns`)).length, 1);
  t.regex(s.sim.check().join(), /LUN 3 \(v_a\) belongs to no volume/);
});

test("snapshots have the two forms in lists, and all properties alone", async (t) => {
  const s = await session(t, { now: () => Date.UTC(2025, 4, 7, 14, 8, 5) });
  await s.volume("v_a");
  await s.snapshot("v_a", "s_1");
  await s.clone("v_a", "s_1", "v_c");
  const [v4] = await s.rows("volumes/v_a/snapshots?page=0");
  t.like(v4, { name: "s_1", volume: "v_a", properties: { creation: Date.UTC(2025, 4, 7, 14, 8, 5) / 1000 } });
  s.sim.configure({ snapshotRows: "flat" });
  const [v3] = await s.rows("volumes/v_a/snapshots?page=0");
  t.like(v3, { name: "s_1", creation: "2025-5-7 16:8:5", clones: "Pool-0/v_c", volsize: String(mib) });
  const one = await s.ask("GET", "volumes/v_a/snapshots/s_1");
  t.like(one, { creation: "2025-05-07 16:08:05", clones: "Pool-0/v_c", volsize: String(mib) });
  const volume = await s.ask("GET", "volumes/v_a");
  t.is(one["san:volume_id"], volume["san:volume_id"]);
  t.not((await s.ask("GET", "volumes/v_c"))["san:volume_id"], volume["san:volume_id"]);
  t.deepEqual(await s.ask("GET", "volumes/v_a/snapshots/s_1/clones"), [
    { name: "v_c", full_name: "Pool-0/v_c", is_clone: true },
  ] as unknown as Row);
  t.regex((await s.refused("DELETE", "volumes/v_a/snapshots/s_1", {})).message ?? "", /has dependent clones/);
  t.regex(
    (await s.refused("POST", "volumes/v_a/snapshots", { snapshot_name: "s_1" })).message ?? "",
    /v_a@s_1 already/,
  );
});

test("a rollback counts what would be lost, destroys newer snapshots, brings the size back, and can be repeated", async (t) => {
  const s = await session(t);
  await s.volume("v_a");
  await s.snapshot("v_a", "s_1");
  await s.ask("PUT", "volumes/v_a", { size: String(2 * mib) });
  await s.snapshot("v_a", "s_2");
  await s.clone("v_a", "s_2", "v_c");
  t.deepEqual(await s.ask("GET", "volumes/v_a/snapshots/s_1/rollback"), { snapshots: 1, clones: 1 });
  t.regex(
    (await s.refused("POST", "volumes/v_a/snapshots/s_1/rollback")).message ?? "",
    /clones of previous/,
  );
  await s.ask("DELETE", "volumes/v_c", {});
  for (let n = 0; n < 2; n++) await s.ask("POST", "volumes/v_a/snapshots/s_1/rollback");
  t.is((await s.ask("GET", "volumes/v_a"))["volsize"], String(mib));
  t.deepEqual(
    (await s.rows("volumes/v_a/snapshots")).map(({ name }) => name),
    ["s_1"],
  );
  t.deepEqual(s.sim.check(), []);
});

test("a promoted clone takes the snapshots up to its origin, and the volume becomes its clone", async (t) => {
  const s = await session(t);
  await s.volume("v_a");
  for (const name of ["s_1", "s_2", "s_3"]) await s.snapshot("v_a", name);
  await s.clone("v_a", "s_2", "v_c");
  await s.ask("POST", "volumes/v_a/snapshots/s_2/clones/v_c/promote", {});
  t.is((await s.ask("GET", "volumes/v_a"))["origin"], "Pool-0/v_c@s_2");
  t.is((await s.ask("GET", "volumes/v_c"))["origin"], null);
  t.deepEqual(
    (await s.rows("volumes/v_c/snapshots")).map(({ name }) => name),
    ["s_1", "s_2"],
  );
  t.deepEqual(s.sim.check(), []);
});

test("lists have pages or not, lag, and are wrong on demand", async (t) => {
  let now = 1_000_000;
  const s = await session(t, { now: () => now, behaviour: { listLagMs: 500 } });
  for (let n = 0; n < 5; n++) await s.volume(`v_${n}`);
  t.is((await s.rows("volumes")).length, 0, "too young");
  t.truthy(await s.ask("GET", "volumes/v_4"), "by name it is there");
  now += 500;
  const names = async (query: string) => (await s.rows(`volumes${query}`)).map(({ name }) => name);
  t.deepEqual(await names("?page=1&per_page=2"), ["v_2", "v_3"]);
  t.deepEqual(await names("?page=9&per_page=2"), []);
  t.is((await names("?page=0&per_page=0")).length, 5);
  t.is((await s.raw("GET", "pools/Pool-0/volumes?page=x")).status, 400);
  s.sim.configure({ ignoresPage: true, wrongResults: true });
  t.like(await s.ask("GET", "volumes?page=1&per_page=2"), {
    results: 2,
    entries: [{ name: "v_0" }, { name: "v_1" }],
  });
  s.sim.inject({ kind: "partial", on: "volumeList" });
  t.is((await names("")).length, 2);
  s.sim.configure({ lists: "array" });
  t.true(Array.isArray(await s.ask("GET", "volumes")));
});

test("changes become visible late when told so", async (t) => {
  let now = 1_000_000;
  const s = await session(t, {
    now: () => now,
    behaviour: { renameLagMs: 100, resizeLagMs: 100, idLagMs: 100 },
  });
  await s.volume("v_a");
  t.false("default_scsi_id" in (await s.ask("GET", "volumes/v_a")));
  await s.ask("PUT", "volumes/v_a", { size: String(2 * mib) });
  t.is((await s.ask("GET", "volumes/v_a"))["volsize"], String(mib));
  now += 100;
  t.like(await s.ask("GET", "volumes/v_a"), { volsize: String(2 * mib) });
  await s.ask("PUT", "volumes/v_a", { name: "v_b" });
  t.is((await s.refused("GET", "volumes/v_b")).status, 404);
  t.deepEqual(
    (await s.rows("volumes")).map(({ name }) => name),
    ["v_a"],
  );
  now += 100;
  t.true("default_scsi_id" in (await s.ask("GET", "volumes/v_b")));
});

test("what a driver forgets is found", async (t) => {
  const s = await session(t);
  await s.volume("v_a");
  await s.snapshot("v_a", "s_1");
  await s.snapshot("v_a", "v_gone");
  await s.clone("v_a", "s_1", "se_s1_X");
  await s.target();
  const found = s.sim.check({ volumes: [] }).join("\n");
  for (const says of [
    /v_a: nobody owns/,
    /se_s1_X: a clone for an export/,
    /v_gone: an intermediate/,
    /without LUNs/,
  ])
    t.regex(found, says);
  t.deepEqual(s.sim.check({ exported: ["v_a@s_1"], emptyTargets: ["iqn.2025-06.proxmox.pool-0:vm-100-0"] }), [
    "v_a@v_gone: an intermediate snapshot without its clone",
  ]);
  await s.ask("DELETE", "volumes/v_a", { recursively_dependents: true });
  t.regex(s.sim.check().join(), /asks for recursively_dependents/);
});
