// SPDX-License-Identifier: AGPL-3.0-or-later
import test from "ava";
import type { BehaviourChange } from "../../../sim/joviandss/index.js";
import { Secret } from "../../../src/common/secret.js";
import { access, iqn, mib, spec, start } from "./fake.js";

/** What releases and the vendor's documents disagree about. */
const releases: Record<string, BehaviourChange> = {
  "the newest release": {},
  "errors and lists of an old release": {
    errors: "legacy",
    lists: "array",
    snapshotRows: "flat",
    changed: 200,
    created: 200,
    errno: "string",
    targetConflict: "base.iscsi.target",
    hasClones: "zfs",
  },
  "missing things with status 500, later changes": {
    notFoundStatus: 500,
    errno: "absent",
    epoch: "string",
    targetCreated: 202,
    targetCreateMs: 50,
    targetDeleteCalls: 2,
    renameLagMs: 50,
    resizeLagMs: 50,
  },
};

for (const [release, behaviour] of Object.entries(releases)) {
  test(`a volume's life: ${release}`, async (t) => {
    const { client, ctx, sim } = await start(t, { behaviour });
    const { volumes, snapshots } = client;
    t.is(await volumes.find(ctx, "v_a"), undefined);
    await t.throwsAsync(volumes.get(ctx, "v_a"), { code: "absent" });
    await volumes.create(ctx, "v_a", spec);
    await t.throwsAsync(volumes.create(ctx, "v_a", spec), { code: "exists" });
    const made = await volumes.get(ctx, "v_a");
    t.like(made, { name: "v_a", size: mib, blockSize: 16_384, thin: true, readOnly: false });
    t.regex(made.scsiId ?? "", /^[0-9a-f]{16}$/);
    await volumes.resize(ctx, "v_a", 2n * mib);
    t.is((await volumes.get(ctx, "v_a")).size, 2n * mib);
    await volumes.rename(ctx, "v_a", "v_b");
    t.is((await volumes.get(ctx, "v_b")).scsiId, made.scsiId);
    await snapshots.create(ctx, "v_b", "s_1");
    await t.throwsAsync(snapshots.create(ctx, "v_b", "s_1"), { code: "exists" });
    await volumes.clone(ctx, { volume: "v_b", snapshot: "s_1" }, "v_c", { thin: true, readOnly: true });
    t.like(await volumes.get(ctx, "v_c"), { origin: { volume: "v_b", snapshot: "s_1" }, readOnly: true });
    const [row] = await snapshots.list(ctx, "v_b");
    t.is(row?.name, "s_1");
    t.like(await snapshots.get(ctx, "v_b", "s_1"), {
      name: "s_1",
      size: 2n * mib,
      clones: ["v_c"],
      guid: row?.guid,
    });
    t.deepEqual(await snapshots.clones(ctx, "v_b", "s_1"), ["v_c"]);
    await t.throwsAsync(snapshots.delete(ctx, "v_b", "s_1"), { code: "busy" });
    await t.throwsAsync(volumes.delete(ctx, "v_b", { recursive: false }), { code: "refused" });
    await t.throwsAsync(volumes.delete(ctx, "v_b", { recursive: true }), { code: "busy" });
    t.deepEqual((await volumes.list(ctx)).map(({ name }) => name).sort(), ["v_b", "v_c"]);
    t.true(await volumes.delete(ctx, "v_c", { recursive: false }));
    t.true(await snapshots.delete(ctx, "v_b", "s_1"));
    t.false(await snapshots.delete(ctx, "v_b", "s_1"));
    t.is(await snapshots.find(ctx, "v_b", "s_1"), undefined);
    t.true(await volumes.delete(ctx, "v_b", { recursive: true }));
    t.false(await volumes.delete(ctx, "v_b", { recursive: true }));
    t.deepEqual(sim.check({ volumes: [] }), []);
  });

  test(`a target's life: ${release}`, async (t) => {
    const { client, ctx, sim } = await start(t, { behaviour, pools: ["Pool-0", "Pool-1"] });
    const { volumes, targets } = client;
    t.is(await targets.find(ctx, iqn), undefined);
    for (let n = 0; n < 2; n++) await targets.create(ctx, iqn, access);
    t.deepEqual(await targets.find(ctx, iqn), {
      name: iqn,
      active: true,
      conflicted: false,
      chap: false,
      vips: ["vip0", "vip1"],
    });
    await targets.setAccess(ctx, iqn, { vips: ["vip1"] });
    t.deepEqual(
      (await targets.list(ctx)).map(({ vips }) => vips),
      [["vip1"]],
    );
    for (const name of ["v_a", "v_b"]) await volumes.create(ctx, name, spec);
    await t.throwsAsync(targets.attach(ctx, iqn, "v_none", 0), { code: "absent" });
    await targets.attach(ctx, iqn, "v_a", 3);
    await t.throwsAsync(targets.attach(ctx, iqn, "v_a", 4), { code: "busy" });
    await t.throwsAsync(targets.attach(ctx, iqn, "v_b", 3), { code: "exists" });
    const { scsiId } = await volumes.get(ctx, "v_a");
    t.deepEqual(await targets.lun(ctx, iqn, "v_a"), { volume: "v_a", lun: 3, scsiId: scsiId ?? "" });
    t.deepEqual(await targets.luns(ctx, iqn), [{ volume: "v_a", lun: 3, scsiId: scsiId ?? "" }]);
    t.deepEqual(await targets.attachments(ctx, "v_a"), [
      { pool: "Pool-0", target: iqn, lun: 3, scsiId: scsiId ?? "" },
    ]);
    t.deepEqual(await targets.attachments(ctx, "v_b"), []);
    await targets.addUser(ctx, iqn, "chapuser", new Secret("chap-secret-12"));
    await targets.setAccess(ctx, iqn, { chap: true });
    t.deepEqual(await targets.users(ctx, iqn), ["chapuser"]);
    const chap = { user: "chapuser", password: "chap-secret-12" };
    sim.login({ iqn, initiator: "iqn.x:a", ip: "10.0.0.1", portal: "127.0.0.2", chap });
    t.like(await targets.sessions(ctx, iqn), [{ initiator: "iqn.x:a", ip: "10.0.0.1" }]);
    await t.throwsAsync(targets.sessions(ctx, `${iqn}9`), { code: "absent" });
    t.true(await targets.deleteUser(ctx, iqn, "chapuser"));
    t.false(await targets.deleteUser(ctx, iqn, "chapuser"));
    t.true(await targets.detach(ctx, iqn, "v_a"));
    t.false(await targets.detach(ctx, iqn, "v_a"));
    t.true(await targets.delete(ctx, iqn));
    t.false(await targets.delete(ctx, iqn));
    t.deepEqual(sim.check(), []);
  });
}

test("a rollback says before what it would lose", async (t) => {
  const { client, ctx } = await start(t);
  await client.volumes.create(ctx, "v_a", spec);
  for (const name of ["s_1", "s_2"]) await client.snapshots.create(ctx, "v_a", name);
  t.deepEqual(await client.snapshots.rollbackLoss(ctx, "v_a", "s_1"), { snapshots: 1, clones: 0 });
  await client.volumes.clone(ctx, { volume: "v_a", snapshot: "s_2" }, "v_c", { thin: true });
  await t.throwsAsync(client.snapshots.rollback(ctx, "v_a", "s_1"), { code: "busy" });
  await client.volumes.delete(ctx, "v_c", { recursive: false });
  await client.snapshots.rollback(ctx, "v_a", "s_1");
  t.deepEqual(
    (await client.snapshots.list(ctx, "v_a")).map(({ name }) => name),
    ["s_1"],
  );
});

test("the pool has capacity and identity, and its addresses have names", async (t) => {
  const { client, ctx, sim } = await start(t, { pools: [{ name: "Pool-0", size: 1 << 30 }] });
  const { id } = sim.pool();
  t.deepEqual(await client.pool(ctx), {
    name: "Pool-0",
    id,
    size: 1n << 30n,
    available: 1n << 30n,
    health: "ONLINE",
  });
  t.deepEqual(await client.vips(ctx), [
    { name: "vip0", address: "127.0.0.1" },
    { name: "vip1", address: "127.0.0.2" },
  ]);
});

test("thick and thin: space is reserved or not", async (t) => {
  const { client, ctx } = await start(t, { pools: [{ name: "Pool-0", size: Number(4n * mib) }] });
  const thick = { ...spec, thin: false };
  await t.throwsAsync(client.volumes.create(ctx, "v_a", { ...thick, size: 8n * mib }), { code: "no-space" });
  await client.volumes.create(ctx, "v_a", thick);
  t.false((await client.volumes.get(ctx, "v_a")).thin);
  await client.volumes.setThin(ctx, "v_a", true);
  t.true((await client.volumes.get(ctx, "v_a")).thin);
});

test("every page of a list is read, whatever the array says about their number", async (t) => {
  const { client, ctx, sim } = await start(t);
  const names = Array.from({ length: 230 }, (_, n) => `v_${String(n).padStart(3, "0")}`);
  for (const name of names) await client.volumes.create(ctx, name, spec);
  for (const behaviour of [{}, { wrongResults: true }, { lists: "array" as const }]) {
    sim.configure(behaviour);
    t.deepEqual(
      (await client.volumes.list(ctx)).map(({ name }) => name),
      names,
      JSON.stringify(behaviour),
    );
  }
  sim.configure({ lists: "paged", ignoresPage: true });
  sim.journal.clear();
  t.is((await client.volumes.list(ctx)).length, 100);
  t.is(sim.journal.of("volumeList").length, 2, "the same page twice is the last one");
});

test("paths and searches go out as the array knows them", async (t) => {
  const { client, ctx, sim } = await start(t);
  await client.targets.attachments(ctx, "v_a");
  await client.targets.find(ctx, iqn);
  t.deepEqual(
    sim.journal.entries.map(({ path }) => path),
    ["san/iscsi/luns?where=name==v_a", `pools/Pool-0/san/iscsi/targets/${iqn}`],
  );
});

test("what the array cannot have is refused before it is sent", async (t) => {
  const { client, ctx, sim } = await start(t);
  for (const size of [0n, -512n, 513n])
    await t.throwsAsync(client.volumes.create(ctx, "v_a", { ...spec, size }), { code: "invalid" });
  for (const name of ["", "v a", "v/a", "v_%41", "x".repeat(257)])
    await t.throwsAsync(async () => client.volumes.get(ctx, name), { code: "internal" });
  await t.throwsAsync(async () => client.targets.find(ctx, "iqn.X/y"), { code: "invalid" });
  t.deepEqual(sim.journal.entries, []);
});

test("an answer without what is needed fails, naming what lacks; a damaged row of the volumes is left out", async (t) => {
  const { client, ctx, sim, lines } = await start(t);
  await client.volumes.create(ctx, "v_a", spec);
  await client.volumes.create(ctx, "v_b", spec);
  const { volumes } = sim.pool();
  volumes.get("v_b")?.properties.set("volsize", "many");
  t.deepEqual(
    (await client.volumes.list(ctx)).map(({ name }) => name),
    ["v_a"],
  );
  t.true(lines.some((line) => line.includes("a row is left out")));
  await t.throwsAsync(client.volumes.get(ctx, "v_b"), { code: "internal", message: /lacks 'volsize'/ });
});
