// SPDX-License-Identifier: AGPL-3.0-or-later
import test from "ava";
import { faultPlanSchema, StorPoolSimulator } from "../../sim/storpool/index.js";
import { eventually } from "../eventually.js";
import { mib, Session, session } from "./storpool.js";

test("a request without the right token is refused and changes nothing", async (t) => {
  const s = await session(t);
  for (const header of ["", "Storpool v1:wrong", `storpool v1:${s.sim.token}`, s.sim.token]) {
    const { text } = await s.raw("POST", "VolumeCreate", { template: "nvme", size: mib }, header);
    t.regex(text, /"name":"accessDenied"/, header);
  }
  t.deepEqual(await s.get("VolumesList"), []);
});

test("every answer has the generation, and only a successful command counts it up", async (t) => {
  const s = await session(t);
  const first = await s.envelope("GET", "VolumesList");
  t.is((await s.envelope("GET", "VolumesList")).generation, first.generation);
  const made = await s.envelope("POST", "VolumeCreate", { template: "nvme", size: mib });
  t.is(made.generation, first.generation + 1);
  t.like(made.data, { ok: true, generation: made.generation });
  const refused = await s.envelope("POST", "VolumeCreate", { template: "nvme" });
  t.is(refused.generation, made.generation);
  t.is(refused.error?.name, "invalidParam");
});

test("errors travel the three ways", async (t) => {
  const s = await session(t);
  const ask = () => s.raw("GET", "Volume/~nzkr.b.zz");
  const body = await ask();
  t.is(body.status, 200);
  t.like(JSON.parse(body.text), { error: { name: "objectDoesNotExist", transient: false } });
  s.sim.configure({ errorTransport: "status-json" });
  const both = await ask();
  t.is(both.status, 404);
  t.like(JSON.parse(both.text), { error: { name: "objectDoesNotExist" } });
  s.sim.configure({ errorTransport: "status-text" });
  const words = await ask();
  t.is(words.status, 404);
  t.throws(() => JSON.parse(words.text));
  t.is((await s.raw("GET", "VolumesList")).status, 200, "success is not touched");
});

test("unknown requests, wrong verbs and missing arguments are refused", async (t) => {
  const s = await session(t, { behaviour: { missing: ["VolumesAndSnapshotsList"] } });
  for (const path of [
    "Nothing",
    "VolumesAndSnapshotsList",
    "VolumeCreate",
    "Volume",
    "Volume/",
    "VolumesList/x",
  ])
    t.is((await s.envelope("GET", path)).error?.name, "unknownQuery", path);
  t.is((await s.envelope("POST", "VolumesList", {})).error?.name, "unknownQuery");
  const { text } = await s.raw("GET", `VolumesList?json=${encodeURIComponent("{broken")}`);
  t.regex(text, /"invalidParam"/);
  t.deepEqual(await s.get(`VolumesList?json=${encodeURIComponent('{"a":1}')}`), []);
  t.deepEqual(s.sim.journal.entries.at(-1)?.body, { a: 1 }, "the query's document was read");
});

test("a reset after the effect loses only the answer, a reset before it loses all", async (t) => {
  const s = await session(t);
  s.sim.inject({ kind: "reset-before", on: "VolumeCreate" });
  s.sim.inject({ kind: "reset-after", on: "VolumeCreate", skip: 1 });
  await t.throwsAsync(s.volume(), { code: "ECONNRESET" });
  t.is((await s.get("VolumesList")).length, 0);
  await t.throwsAsync(s.volume(), { code: "ECONNRESET" });
  t.is((await s.get("VolumesList")).length, 1);
  await s.volume();
  t.is((await s.get("VolumesList")).length, 2);
  const outcomes = s.sim.journal.of("VolumeCreate").map(({ outcome, faults }) => [outcome, ...faults]);
  t.deepEqual(outcomes, [["none", "reset-before"], ["ok", "reset-after"], ["ok"]]);
});

test("transient errors come as often as ordered, and for the ordered request only", async (t) => {
  const s = await session(t);
  s.sim.inject({ kind: "transient", on: "VolumesList", count: 2 });
  t.deepEqual(await s.get("SnapshotsList"), []);
  for (let n = 0; n < 2; n++) t.true((await s.envelope("GET", "VolumesList")).error?.transient);
  t.deepEqual(await s.get("VolumesList"), []);
});

test("the other faults: chosen error, bad gateway, half an answer, silence, delay", async (t) => {
  const s = await session(t);
  s.sim.inject({ kind: "error", name: "quotaExceeded", descr: "none left" });
  await t.throwsAsync(s.get("VolumesList"), { message: "quotaExceeded: none left" });
  s.sim.inject({ kind: "bad-gateway" });
  t.is((await s.raw("GET", "VolumesList")).status, 502);
  s.sim.inject({ kind: "cut", on: "VolumeCreate" });
  await t.throwsAsync(s.volume(), { code: "ECONNRESET" });
  s.sim.inject({ kind: "silent", on: "VolumeCreate" });
  const lost = s.volume();
  lost.catch(() => undefined);
  t.true(await eventually(async () => s.sim.journal.of("VolumeCreate")[1]?.outcome === "ok"));
  t.is((await s.get("VolumesList")).length, 2, "both took effect");
  s.sim.inject({ kind: "delay", ms: 120 });
  const start = performance.now();
  await s.get("VolumesList");
  t.true(performance.now() - start >= 110);
  await s.sim.close();
  await t.throwsAsync(lost, { code: "ECONNRESET" });
});

test("connections are refused for a while, then accepted at the same port", async (t) => {
  const s = await session(t);
  const { port } = s.sim;
  await s.sim.refuseConnections();
  await t.throwsAsync(s.get("VolumesList"), { code: "ECONNREFUSED" });
  await s.sim.listen();
  t.is(s.sim.port, port);
  t.deepEqual(await s.get("VolumesList"), []);
  await s.sim.refuseConnections(50);
  await t.throwsAsync(s.get("VolumesList"), { code: "ECONNREFUSED" });
  t.true(
    await eventually(() =>
      s.get("VolumesList").then(
        () => true,
        () => false,
      ),
    ),
  );
});

test("the plan's faults depend on the seed only", async (t) => {
  const plan = { delay: 0.2, maxDelayMs: 2, transient: 0.2, resetBefore: 0.2, resetAfter: 0.2 };
  const hit = async (seed: number) => {
    const sim = await StorPoolSimulator.start({ seed, faults: plan });
    const s = new Session(sim);
    for (let n = 0; n < 60; n++) await s.raw("GET", "VolumesList").catch(() => undefined);
    await sim.close();
    return sim.journal.entries.map(({ faults }) => faults.join("+"));
  };
  const first = await hit(7);
  t.deepEqual(await hit(7), first);
  t.notDeepEqual(await hit(8), first);
  for (const kind of ["delay", "transient", "reset-before", "reset-after"])
    t.true(
      first.some((faults) => faults.includes(kind)),
      kind,
    );
  t.true(first.includes(""), "some are spared");
  t.throws(() => faultPlanSchema.parse({ transient: 2 }));
});

test("the journal has every request in order, and never the token", async (t) => {
  const s = await session(t, { token: "very-secret-123" });
  await s.volume({ tags: { leaked: "very-secret-123" } });
  await s.raw("GET", "Volume/~very-secret-123");
  const { entries } = s.sim.journal;
  t.deepEqual(
    entries.map(({ verb, request, outcome }) => `${verb} ${request} ${outcome}`),
    ["POST VolumeCreate ok", "GET Volume objectDoesNotExist"],
  );
  t.deepEqual(entries[0]?.body, { template: "nvme", size: mib, tags: { leaked: "***" } });
  t.false(JSON.stringify(entries).includes("very-secret-123"));
});
