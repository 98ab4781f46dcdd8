// SPDX-License-Identifier: AGPL-3.0-or-later
import test from "ava";
import { iqn, mib, type Row, session } from "./joviandss.js";

const at = `san/iscsi/targets/${iqn}`;
const portals = { enabled: true, assigned_vips: ["vip0", "vip1"] };

test("a target is created with its portals, found, changed, deleted", async (t) => {
  const s = await session(t);
  await s.target(iqn, { vip_allowed_portals: portals, incoming_users_active: false });
  t.deepEqual(await s.ask("GET", at), {
    name: iqn,
    active: true,
    conflicted: false,
    incoming_users_active: false,
    outgoing_user: null,
    allow_ip: [],
    deny_ip: [],
    vip_allowed_portals: portals,
  });
  const again = await s.refused("POST", "san/iscsi/targets", { name: iqn });
  t.is(again.status, 409);
  t.regex(again.class ?? "", /TargetNameConflictError$/);
  const one = { enabled: true, assigned_vips: ["vip0"] };
  await s.ask("PUT", at, { name: iqn, vip_allowed_portals: one });
  t.like(await s.ask("GET", at), { vip_allowed_portals: one });
  const stranger = { name: iqn, vip_allowed_portals: { enabled: true, assigned_vips: ["vip9"] } };
  t.is((await s.refused("PUT", at, stranger)).status, 400);
  t.is((await s.refused("POST", "san/iscsi/targets", { name: "iqn.2025:UPPER" })).status, 400);
  await s.ask("DELETE", at, {});
  t.is((await s.refused("GET", at)).message, `Target ${iqn} not exists.`);
});

test("old firmware does not know portals of targets", async (t) => {
  const s = await session(t, { behaviour: { versions: ["v3"], vipAllowedPortals: false } });
  t.is((await s.raw("GET", "pools/Pool-0")).status, 404, "v4");
  const body = { name: iqn, vip_allowed_portals: portals };
  const refused = await s.refused("POST", "san/iscsi/targets", body, { version: "v3" });
  t.is(refused.message, "Additional properties are not allowed ('vip_allowed_portals' was unexpected)");
});

test("a volume has one LUN at most, which is found by its name in all pools", async (t) => {
  const s = await session(t, { pools: ["Pool-0", "Pool-1"] });
  await s.volume("v_a");
  await s.volume("v_b");
  await s.target();
  const lun = await s.attach("v_a", 5);
  const { default_scsi_id: id } = await s.ask("GET", "volumes/v_a");
  t.like(lun, { name: "v_a", lun: 5, mode: "wt", block_size: 512, scsi_id: id });
  t.is(lun["eui"], Buffer.from(String(id).slice(0, 8)).toString("hex"));
  t.like(await s.refused("POST", `${at}/luns`, { name: "v_a", lun: 6 }), {
    status: 409,
    message: "Volume /dev/Pool-0/v_a is already used.",
  });
  t.like(await s.refused("POST", `${at}/luns`, { name: "v_b", lun: 5 }), {
    status: 409,
    message: `LUN 5 is already used in ${iqn}.`,
  });
  const search = async (name: string) =>
    (JSON.parse((await s.raw("GET", `san/iscsi/luns?where=name==${name}`)).text) as { data: Row[] }).data;
  t.like((await search("v_a"))[0], {
    pool: "Pool-0",
    iscsi_target: { name: iqn, active: true },
    lun: { lun: 5 },
  });
  t.deepEqual(await search("v_b"), []);
  t.is((await s.raw("GET", "san/iscsi/luns?where=name%3D%3Dv_a")).status, 404, "encoded");
  t.is(
    (await s.raw("GET", `pools/Pool-0/san/iscsi/targets/${encodeURIComponent(iqn)}`)).status,
    404,
    "encoded",
  );
  s.sim.configure({ rawUrls: false });
  t.is((await s.raw("GET", "san/iscsi/luns?where=name%3D%3Dv_a")).status, 200);
  t.like(await s.refused("PUT", "volumes/v_a", { name: "v_z" }), {
    class: "opene.cfgparser.CfgParserError",
    errno: 13,
  });
  await s.ask("DELETE", `${at}/luns/v_a`);
  t.is(
    (await s.refused("DELETE", `${at}/luns/v_a`)).message,
    `volume name v_a is not attached to target ${iqn}`,
  );
});

test("users have passwords that are never shown, and sessions need them", async (t) => {
  const s = await session(t);
  await s.target(iqn, { vip_allowed_portals: { enabled: true, assigned_vips: ["vip0"] } });
  const add = (password: string) => s.refused("POST", `${at}/incoming-users`, { name: "chapuser", password });
  t.is((await add("short")).message, "Password is allowed to contain from 12 to 255 characters");
  t.is((await add("blanks are not")).status, 400);
  await s.ask("POST", `${at}/incoming-users`, { name: "chapuser", password: "chap-secret-12" });
  await s.ask("PUT", at, { name: iqn, incoming_users_active: true });
  t.deepEqual(await s.rows(`${at}/incoming-users`), [{ name: "chapuser" }]);
  const login = { iqn, initiator: "iqn.1993-08.org.debian:01:a", ip: "10.0.0.1", portal: "127.0.0.1" };
  const chap = { user: "chapuser", password: "chap-secret-12" };
  t.throws(() => s.sim.login(login), { message: /authorization failure/ });
  t.throws(() => s.sim.login({ ...login, chap, portal: "127.0.0.2" }), {
    message: /no such target at this portal/,
  });
  t.throws(() => s.sim.login({ ...login, chap, portal: "127.0.0.3" }), { message: /no such portal/ });
  const open = s.sim.login({ ...login, chap });
  t.like((await s.rows(`${at}/sessions`))[0], {
    target_name: iqn,
    initiator_name: login.initiator,
    ip: "10.0.0.1",
  });
  t.is((await s.rows("san/iscsi/targets/sessions")).length, 1);
  s.sim.logout(open);
  t.deepEqual(await s.rows(`${at}/sessions`), []);
  await s.ask("DELETE", `${at}/incoming-users/chapuser`);
  t.is((await s.refused("DELETE", `${at}/incoming-users/chapuser`)).message, "User chapuser not exists.");
  t.false(JSON.stringify(s.sim.journal.entries).includes("chap-secret"));
});

test("a target with sessions is deleted all the same, after as many requests as told", async (t) => {
  const s = await session(t, { behaviour: { targetDeleteCalls: 2 } });
  await s.target();
  s.sim.login({ iqn, initiator: "iqn.x:a", ip: "10.0.0.1", portal: "127.0.0.1" });
  await s.ask("DELETE", at, {});
  t.is((await s.rows(`${at}/sessions`)).length, 1);
  await s.ask("DELETE", at, {});
  t.is((await s.refused("GET", `${at}/sessions`)).status, 404);
});

test("two edits of targets at once: the later one clashes, with or without effect", async (t) => {
  const s = await session(t, { behaviour: { targetEditMs: 1_500 } });
  await s.target();
  await s.volume("v_a");
  await s.volume("v_b");
  for (const applies of [false, true]) {
    s.sim.configure({ clashApplies: applies });
    const first = s.attach("v_a", 0);
    while (s.sim.pool().targets.get(iqn)?.luns.size === 0) await new Promise((done) => setImmediate(done));
    const second = await s.refused("POST", `${at}/luns`, { name: "v_b", lun: 1 });
    t.is(second.class, "opene.cfgparser.CfgParserError");
    await first;
    t.is((await s.rows(`${at}/luns`)).length, applies ? 2 : 1);
    await s.ask("DELETE", `${at}/luns/v_a`);
  }
});

test("a target that is accepted only comes later", async (t) => {
  let now = 1_000_000;
  const s = await session(t, { now: () => now, behaviour: { targetCreated: 202, targetCreateMs: 50 } });
  t.is((await s.raw("POST", "pools/Pool-0/san/iscsi/targets", { name: iqn })).status, 202);
  t.is((await s.refused("GET", at)).status, 404);
  now += 50;
  t.like(await s.ask("GET", at), { name: iqn });
});

test("the same target in two pools is allowed and marked, or refused", async (t) => {
  const s = await session(t, { pools: ["Pool-0", "Pool-1"] });
  await s.target();
  const other = () => s.raw("POST", "pools/Pool-1/san/iscsi/targets", { name: iqn });
  s.sim.configure({ sameTargetInPools: "refuse" });
  t.is((await other()).status, 409);
  s.sim.configure({ sameTargetInPools: "conflicted" });
  t.is((await other()).status, 201);
  t.true((await s.ask("GET", at))["conflicted"]);
});

test("what is published goes to the exporter as a whole, and real sessions come from it", async (t) => {
  const calls: unknown[] = [];
  const sessions = [{ initiator: "iqn.x:a", ip: "10.0.0.1", sid: "1", cid: "0" }];
  const exporter = {
    apply: async (target: unknown) => void calls.push(structuredClone(target)),
    remove: async (name: string) => void calls.push(name),
    sessions: async () => sessions,
  };
  const s = await session(t, { exporter, vips: ["10.0.0.10", "fd00::10"], dataPort: 3261 });
  await s.volume("v_a");
  await s.target(iqn, { vip_allowed_portals: { enabled: true, assigned_vips: ["vip1"] } });
  await s.snapshot("v_a", "s_1");
  const { scsi_id: scsiId } = await s.attach("v_a", 2);
  const expected = { iqn, active: true, portals: ["[fd00::10]:3261"], chap: undefined };
  const lun = {
    lun: 2,
    volume: "v_a",
    file: undefined,
    size: mib,
    readOnly: false,
    blockSize: 512,
    scsiId,
    wwid: `2${Buffer.from(String(scsiId).slice(0, 8)).toString("hex")}`,
    revision: 0,
  };
  t.deepEqual(calls.splice(0), [
    { ...expected, luns: [] },
    { ...expected, luns: [lun] },
  ]);
  await s.ask("PUT", "volumes/v_a", { size: String(2 * mib) });
  await s.ask("POST", "volumes/v_a/snapshots/s_1/rollback");
  t.deepEqual(calls.splice(0), [
    { ...expected, luns: [{ ...lun, size: 2 * mib }] },
    { ...expected, luns: [{ ...lun, revision: 1 }] },
  ]);
  t.is((await s.rows(`${at}/sessions`)).length, 1);
  await s.ask("DELETE", at, {});
  t.deepEqual(calls, [iqn]);
});

test("an exporter that fails is the array's failure", async (t) => {
  const fails = async () => {
    throw new Error("no such module");
  };
  const s = await session(t, { exporter: { apply: fails, remove: fails } });
  t.like(await s.refused("POST", "san/iscsi/targets", { name: iqn }), {
    class: "opene.tools.scstadmin.ScstAdminError",
    message: "no such module",
  });
});

test("a LUN that is exported without capacity looks right in the API", async (t) => {
  const sizes: number[] = [];
  const apply = async ({ luns }: { luns: readonly { size: number }[] }) =>
    void sizes.push(...luns.map(({ size }) => size));
  const s = await session(t, { exporter: { apply, remove: async () => {} } });
  await s.volume("v_a");
  await s.target();
  s.sim.inject({ kind: "empty-lun", on: "lunAttach" });
  t.like(await s.attach("v_a"), { name: "v_a", lun: 0 });
  t.deepEqual(sizes, [0]);
});
