// SPDX-License-Identifier: AGPL-3.0-or-later
import { X509Certificate } from "node:crypto";
import test from "ava";
import { selfSigned } from "../../sim/common/certificate.js";
import { faultPlanSchema, JovianSimulator } from "../../sim/joviandss/index.js";
import { eventually } from "../eventually.js";
import { iqn, Session, session } from "./joviandss.js";

test("the certificate signs itself, for every address", (t) => {
  const { cert, key } = selfSigned("array", ["127.0.0.1", "fd00::1:2", "not-an-address"]);
  const parsed = new X509Certificate(cert);
  t.is(parsed.subject, "CN=array");
  t.true(parsed.verify(parsed.publicKey));
  t.is(parsed.checkIP("127.0.0.1"), "127.0.0.1");
  t.is(parsed.checkIP("fd00::1:2"), "fd00::1:2");
  t.is(parsed.checkIP("127.0.0.2"), undefined);
  t.regex(key, /BEGIN PRIVATE KEY/);
});

test("all addresses answer over TLS with a certificate that nobody trusts by itself", async (t) => {
  const s = await session(t);
  for (const address of ["127.0.0.1", "127.0.0.2"]) {
    t.like(await s.ask("GET", "", undefined, { address }), { name: "Pool-0" });
  }
  const { cert } = selfSigned("other", ["127.0.0.1"]);
  await t.throwsAsync(s.raw("GET", "pools", undefined, { ca: cert }), {
    code: "DEPTH_ZERO_SELF_SIGNED_CERT",
  });
  t.deepEqual(
    s.sim.journal.entries.map(({ address, request, outcome }) => `${address} ${request} ${outcome}`),
    ["127.0.0.1 poolGet ok", "127.0.0.2 poolGet ok"],
  );
});

test("wrong credentials get plain text, and the journal knows no password", async (t) => {
  const s = await session(t, { password: "very-secret-123" });
  t.deepEqual(await s.raw("GET", "pools", undefined, { password: "no" }), {
    status: 401,
    text: "401 unauthorized",
  });
  await s.raw("GET", "pools/very-secret-123");
  s.sim.changePassword("another-secret");
  t.is((await s.raw("GET", "pools", undefined, { password: "very-secret-123" })).status, 401);
  await s.volume("v_another-secret");
  t.notRegex(JSON.stringify(s.sim.journal.entries), /secret/);
});

test("requests outside the API, of unknown pools and with broken bodies are refused", async (t) => {
  const s = await session(t);
  for (const path of [
    "/",
    "/api/v9/pools",
    "/api/v4/nothing",
    "/api/v4/pools/Pool-0/volumes/a/b/c",
    "/sim/state",
  ])
    t.is((await s.raw("GET", path)).status, 404, path);
  t.is((await s.raw("PATCH", "pools/Pool-0")).status, 404);
  t.regex((await s.raw("GET", "pools/Pool-9")).text, /ItemNotFoundError.*Pool Pool-9 not found/);
  t.like(JSON.parse((await s.raw("GET", "conn_test", undefined, { version: "v3" })).text), { data: "OK" });
  t.like(await s.rows("vips"), [
    { name: "vip0", address: "127.0.0.1" },
    { name: "vip1", address: "127.0.0.2" },
  ]);
});

test("changes answer 204 without a body, or 200 with an envelope", async (t) => {
  const s = await session(t, { behaviour: { changed: 200, created: 200 } });
  const made = await s.raw("POST", "pools/Pool-0/volumes", { name: "v_a", size: "16384" });
  t.is(made.status, 200);
  t.deepEqual(await s.raw("DELETE", "pools/Pool-0/volumes/v_a", {}), {
    status: 200,
    text: '{"data":null,"error":null}',
  });
});

test("faults before the effect change nothing, those after it lose the answer only", async (t) => {
  const s = await session(t);
  const create = (n: number) => s.raw("POST", "pools/Pool-0/volumes", { name: `v_${n}`, size: "16384" });
  const there = (n: number) => s.sim.pool().volumes.has(`v_${n}`);
  s.sim.inject({ kind: "reset-before", on: "volumeCreate" });
  await t.throwsAsync(create(1), { code: "ECONNRESET" });
  s.sim.inject({ kind: "clash", on: "volumeCreate" });
  t.regex((await create(1)).text, /CfgParserError/);
  s.sim.inject({ kind: "error", on: "volumeCreate", status: 400, message: "chosen", class: "a.B", errno: 7 });
  t.regex((await create(1)).text, /"class":"a.B","errno":7,"message":"chosen"/);
  s.sim.inject({ kind: "bad-gateway", on: "volumeCreate" });
  t.is((await create(1)).status, 502);
  s.sim.inject({ kind: "unauthorized", on: "volumeCreate" });
  t.is((await create(1)).status, 401);
  t.false(there(1));
  s.sim.inject({ kind: "reset-after", on: "volumeCreate" });
  await t.throwsAsync(create(2), { code: "ECONNRESET" });
  s.sim.inject({ kind: "clash-after", on: "volumeCreate" });
  t.regex((await create(3)).text, /CfgParserError/);
  s.sim.inject({ kind: "garbage", on: "volumeCreate" });
  t.regex((await create(4)).text, /<html>/);
  s.sim.inject({ kind: "cut", on: "volumeCreate" });
  await t.throwsAsync(create(5), { code: "ECONNRESET" });
  s.sim.inject({ kind: "silent", on: "volumeCreate" });
  const lost = create(6);
  lost.catch(() => undefined);
  t.true(await eventually(() => there(6)));
  for (const n of [2, 3, 4, 5]) t.true(there(n), String(n));
  s.sim.inject({ kind: "null-data", on: "volumeGet", address: "127.0.0.2" });
  t.truthy(await s.ask("GET", "volumes/v_2"), "the other address");
  t.is(await s.ask<unknown>("GET", "volumes/v_2", undefined, { address: "127.0.0.2" }), null);
  t.deepEqual(s.sim.faults.pending, []);
});

test("an address refuses, or accepts and says nothing, until it is opened again", async (t) => {
  const s = await session(t);
  const { port } = s.sim;
  await s.sim.setAddress("127.0.0.1", "refusing");
  await t.throwsAsync(s.ask("GET", ""), { code: "ECONNREFUSED" });
  t.truthy(await s.ask("GET", "", undefined, { address: "127.0.0.2" }));
  await s.sim.setAddress("127.0.0.1", "mute");
  let answered = false;
  const lost = s.ask("GET", "").finally(() => {
    answered = true;
  });
  lost.catch(() => undefined);
  t.truthy(await s.ask("GET", "", undefined, { address: "127.0.0.2" }));
  t.false(answered);
  await s.sim.setAddress("127.0.0.1", "open");
  t.is(s.sim.port, port);
  t.truthy(await s.ask("GET", ""));
  await t.throwsAsync(lost, { code: "ECONNRESET" });
});

test("a failover: nobody answers, then the other node does", async (t) => {
  const s = await session(t);
  await s.volume("v_a");
  await s.sim.failover({ afterMs: 1_000 });
  for (const address of s.sim.addresses) await t.throwsAsync(s.ask("GET", "", undefined, { address }));
  const back = () =>
    s.ask("GET", "volumes/v_a", undefined, { address: "127.0.0.2" }).then(
      () => true,
      () => false,
    );
  t.true(await eventually(back));
  await t.throwsAsync(s.ask("GET", ""), { code: "ECONNREFUSED" });
  s.sim.configure({ standby: "pool-missing" });
  await s.sim.failover({ to: ["127.0.0.1"], afterMs: 60_000 });
  t.regex((await s.raw("GET", "pools/Pool-0/volumes/v_a")).text, /Pool Pool-0 not found/);
});

test("the plan's faults depend on the seed only", async (t) => {
  const plan = { delay: 0.2, maxDelayMs: 2, resetBefore: 0.2, resetAfter: 0.2, nullData: 0.2, clash: 0.3 };
  const hit = async (seed: number) => {
    const sim = await JovianSimulator.start({ seed, faults: plan });
    const s = new Session(sim);
    for (let n = 0; n < 40; n++) {
      await s.raw("GET", "pools/Pool-0/volumes").catch(() => undefined);
      await s.raw("POST", "pools/Pool-0/san/iscsi/targets", { name: `${iqn}${n}` }).catch(() => undefined);
    }
    await sim.close();
    return sim.journal.entries.map(({ faults }) => faults.join("+"));
  };
  const first = await hit(7);
  t.deepEqual(await hit(7), first);
  t.notDeepEqual(await hit(8), first);
  for (const kind of ["delay", "reset-before", "reset-after", "null-data", "clash", "clash-after"])
    t.true(
      first.some((faults) => faults.includes(kind)),
      kind,
    );
  t.true(first.includes(""), "some are spared");
  t.throws(() => faultPlanSchema.parse({ clash: 2 }));
});

test("data sets and shares of NFS storages, with what lags", async (t) => {
  let now = 1_000_000;
  const s = await session(t, { now: () => now, behaviour: { shareLagMs: 30 } });
  await s.ask("POST", "nas-volumes", { name: "data", quota: "1048576" });
  await s.ask("POST", "nas-volumes/data/snapshots", { name: "100_s1" });
  await s.ask("POST", "nas-volumes/data/snapshots/100_s1/clones", { name: "copy" });
  t.regex(
    (await s.refused("DELETE", "nas-volumes/data/snapshots/100_s1", {})).message ?? "",
    /dependent clones/,
  );
  t.regex(
    (await s.refused("POST", "volumes", { name: "data", size: "16384" })).message ?? "",
    /dataset already exists/,
  );
  const share = { name: "copyshare", path: "Pool-0/copy", nfs: { enabled: true } };
  t.is((await s.raw("POST", "shares", share)).status, 201);
  t.is((await s.raw("POST", "shares", share)).status, 409);
  t.notRegex((await s.raw("GET", "shares/copyshare")).text, /real_path/);
  now += 30;
  t.regex((await s.raw("GET", "shares/copyshare")).text, /"real_path":"\/Pools\/Pool-0\/copy"/);
  t.is((await s.raw("DELETE", "shares/copyshare", {})).status, 204);
  t.is((await s.raw("GET", "shares/copyshare")).status, 200, "it goes later");
  now += 30;
  t.is((await s.raw("GET", "shares/copyshare")).status, 404);
  await s.ask("DELETE", "nas-volumes/data/snapshots/100_s1/clones/copy", {});
  await s.ask("DELETE", "nas-volumes/data", {});
  t.deepEqual(await s.rows("nas-volumes"), []);
});
