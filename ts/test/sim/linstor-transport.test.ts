// SPDX-License-Identifier: AGPL-3.0-or-later

import { request } from "node:https";
import { connect, rootCertificates } from "node:tls";
import test from "ava";
import { eventually } from "../eventually.js";
import { codeOf, entriesOf, type Row, session, severityOf } from "./linstor.js";

/** What a request failed with; fetch does not reject with errors of ours. */
const problemOf = (sent: Promise<unknown>) =>
  sent.then(
    () => "",
    (error: { name: string }) => error.name,
  );

test("without the right token everything but /health is refused, and the journal never has it", async (t) => {
  const s = await session(t, { token: "tok-123" });
  t.deepEqual(await s.raw("GET", "/health").then(({ status, text }) => [status, text]), [200, ""]);
  for (const headers of [{}, { authorization: "Bearer wrong" }]) {
    const {
      status,
      text,
      headers: given,
    } = await s.raw("GET", "/v1/nodes", undefined, headers as Record<string, string>);
    t.is(status, 401);
    t.is(given["www-authenticate"], 'Bearer realm="linstor-controller"');
    t.deepEqual(entriesOf(text).map(codeOf), [412]);
  }
  const path = "/v1/resource-groups/rg1/spawn";
  const body = { resource_definition_name: "vm-1-disk-0", volume_sizes: [4096] };
  await s.raw("POST", path, body);
  t.is(s.sim.state.definitions.size, 0);
  const headers = { authorization: "Bearer tok-123" };
  t.is(
    (await s.raw("POST", path, { ...body, resource_definition_props: { "Aux/a": "tok-123" } }, headers))
      .status,
    201,
  );
  t.false(JSON.stringify(s.sim.journal.entries).includes("tok-123"));
});

test("basic authentication: missing is 401, wrong is 403", async (t) => {
  const s = await session(t, { users: { admin: "secret" } });
  const missing = await s.raw("GET", "/v1/nodes");
  t.deepEqual([missing.status, missing.headers["www-authenticate"]], [401, 'Basic realm="Linstor"']);
  const basic = (words: string) => ({ authorization: `Basic ${Buffer.from(words).toString("base64")}` });
  t.is((await s.raw("GET", "/v1/nodes", undefined, basic("admin:wrong"))).status, 403);
  t.is((await s.raw("GET", "/v1/nodes", undefined, basic("admin:secret"))).status, 200);
});

test("plain and TLS ports answer the same; the certificate is self-signed", async (t) => {
  const s = await session(t, { tlsPort: 0 });
  const [plain = "", tls = ""] = s.sim.urls;
  t.regex(plain, /^http:/);
  t.regex(tls, /^https:/);
  const ask = (ca: string | readonly string[]) =>
    new Promise<number | undefined>((resolve, reject) => {
      request(`${tls}/v1/nodes`, { ca: ca as string, agent: false }, (answer) => {
        answer.resume();
        resolve(answer.statusCode);
      })
        .on("error", reject)
        .end();
    });
  t.is(await ask(s.sim.certificate), 200);
  await t.throwsAsync(ask(rootCertificates), { code: "DEPTH_ZERO_SELF_SIGNED_CERT" });
  const only = await session(t, { port: null, tlsPort: 0 });
  t.deepEqual(
    only.sim.urls.map((url) => url.slice(0, 5)),
    ["https"],
  );
  const socket = connect({ port: Number(new URL(tls).port), ca: s.sim.certificate, host: "127.0.0.1" });
  await new Promise((resolve) => socket.once("secureConnect", resolve));
  socket.destroy();
});

test("of several controllers one is active; it can fail over, and none may be there", async (t) => {
  const s = await session(t, { controllers: ["127.0.0.1", "127.0.0.2"] });
  const [first = "", second = ""] = s.sim.urls;
  const answers = (url: string) =>
    fetch(`${url}/health`).then(
      ({ ok }) => ok,
      () => false,
    );
  t.deepEqual([await answers(first), await answers(second)], [true, false]);
  await s.sim.failover("127.0.0.2", 3_600_000);
  t.deepEqual([await answers(first), await answers(second)], [false, false]);
  await s.sim.hurry();
  t.true(await answers(second));
  t.is(s.sim.activeController, "127.0.0.2");
  await s.sim.failover(null);
  t.deepEqual([await answers(first), await answers(second)], [false, false]);
  await s.sim.failover("127.0.0.1");
  t.true(await answers(first), "at the port that it had");
  await s.sim.setController("127.0.0.1", "mute");
  const silent = fetch(`${first}/health`, { signal: AbortSignal.timeout(300) });
  t.is(await problemOf(silent), "TimeoutError");
});

test("an unhealthy controller says so; unknown requests are no JSON", async (t) => {
  const s = await session(t, { behaviour: { health: "failing" } });
  t.is((await s.raw("GET", "/health")).status, 500);
  const unknown = await s.raw("GET", "/v1/nonsense");
  t.is(unknown.status, 404);
  t.throws(() => JSON.parse(unknown.text));
  t.is((await s.raw("PATCH", "/v1/nodes")).status, 404);
});

test("unknown members, wrong types and what is no JSON are a parse error with status 400", async (t) => {
  const s = await session(t);
  const spawn = "/v1/resource-groups/rg1/spawn";
  const bodies = [
    "{",
    { volume_sizes: "x" },
    { resource_definition_name: "vm-1-disk-0", volume_sizes: [4096], nonsense: 1 },
  ];
  for (const body of bodies) {
    const { status, text } = await s.raw("POST", spawn, body);
    t.is(status, 400);
    const [entry] = entriesOf(text);
    t.is(entry?.ret_code, BigInt.asIntN(64, 0xcffffffffffffffdn));
    t.truthy(entry?.["details"]);
  }
  t.is(s.sim.state.definitions.size, 0);
  s.sim.configure({ strictBodies: false });
  t.is((await s.raw("POST", spawn, bodies[2])).status, 201);
});

test("codes have all of their digits, and empty members are left out", async (t) => {
  const s = await session(t);
  await s.spawn("vm-1-disk-0");
  await s.do("POST", "resource-definitions/vm-1-disk-0/snapshots", { name: "snap_x" });
  const { text } = await s.raw("POST", "/v1/resource-definitions/vm-1-disk-0/snapshots", { name: "SNAP_X" });
  t.true(text.includes('"ret_code":-4611686018409823742'), text);
  t.is(
    Number((JSON.parse(text) as Row[])[0]?.["ret_code"]) & 0x3ff,
    512,
    "514, which a double does not hold",
  );
  const [definition] = await s.get("resource-definitions");
  for (const member of ["flags", "props", "external_name", "volume_definitions"])
    t.false(member in (definition ?? {}), member);
  const pools = (await s.raw("GET", "/v1/view/storage-pools")).text;
  t.true(pools.includes('"free_capacity":9223372036854775807'), pools);
  t.false(/null|:""|\[\]|\{\}/.test(pools));
});

test("success comes before an error, and the first error decides the status", async (t) => {
  const s = await session(t);
  s.sim.inject({ kind: "deploy-fails", on: "spawn", node: "pve2" });
  const { status, entries } = await s.say("POST", "resource-groups/rg1/spawn", {
    resource_definition_name: "vm-1-disk-0",
    volume_sizes: [4096],
  });
  t.is(status, 500);
  const severities = entries.map(severityOf);
  t.is(severities[0], "success");
  t.is(severities.at(-1), "error");
  t.is(s.sim.state.definitions.size, 1, "half done");
  t.deepEqual(entries.at(-1)?.["error_report_ids"], ["663A2241-F21CA-000001"]);
});

test("faults: before and after the effect, half, silent, no JSON, refused, delayed", async (t) => {
  const s = await session(t);
  const spawn = (n: number) => s.spawn(`vm-1-disk-${n}`, 4096, { definitions_only: true });
  const made = () => s.sim.state.definitions.size;
  s.sim.inject({ kind: "reset-before", on: "spawn" });
  await t.throwsAsync(spawn(0), { code: "ECONNRESET" });
  t.is(made(), 0);
  s.sim.inject({ kind: "reset-after", on: "spawn" });
  await t.throwsAsync(spawn(1), { code: "ECONNRESET" });
  t.is(made(), 1);
  s.sim.inject({ kind: "cut", on: "spawn" });
  await t.throwsAsync(spawn(2), { code: "ECONNRESET" });
  s.sim.inject({ kind: "garbage", on: "spawn" });
  await t.throwsAsync(spawn(3), { name: "SyntaxError" });
  t.is(made(), 3);
  s.sim.inject({ kind: "error", on: "spawn", message: "database gone" });
  await t.throwsAsync(spawn(4), { message: "500 998 database gone" });
  t.is(made(), 3);
  s.sim.inject({ kind: "late-error", on: "spawn" });
  await t.throwsAsync(spawn(5), { message: /^500 998 / });
  t.is(made(), 4);
  s.sim.inject({ kind: "bad-gateway" });
  t.is((await s.raw("GET", "/v1/nodes")).status, 502);
  s.sim.inject({ kind: "delay", ms: 80, on: "nodeList" });
  const start = performance.now();
  await s.get("nodes");
  t.true(performance.now() - start >= 75);
  s.sim.configure({ mutationMs: 80 });
  const later = spawn(6);
  t.is(made(), 4);
  await later;
  t.is(made(), 5);
  s.sim.inject({ kind: "hang", on: "nodeList" });
  const [url = ""] = s.sim.urls;
  t.is(await problemOf(fetch(`${url}/v1/nodes`, { signal: AbortSignal.timeout(500) })), "TimeoutError");
  t.deepEqual(s.sim.faults.pending, []);
  const outcomes = s.sim.journal.of("spawn").map(({ outcome }) => outcome);
  t.deepEqual(outcomes, ["none", "ok", "ok", "ok", "error", "ok, but reported as failed", "ok"]);
});

test("a satellite is away for a while, from a request on", async (t) => {
  const s = await session(t);
  s.sim.inject({ kind: "node-offline", node: "pve2", ms: 50, on: "nodeList" });
  const status = async () => (await s.get("nodes")).map((row) => row["connection_status"]);
  t.deepEqual(await status(), ["ONLINE", "OFFLINE", "ONLINE"]);
  t.true(await eventually(async () => !(await status()).includes("OFFLINE")));
});

test("the plan's faults depend on the seed only", async (t) => {
  const outcomes = async (seed: number) => {
    const s = await session(t, { seed, faults: { error: 0.3, garbage: 0.2, delay: 0.1, maxDelayMs: 2 } });
    for (let n = 0; n < 30; n++) await s.raw("GET", "/v1/nodes");
    return s.sim.journal.entries.map(({ faults }) => faults.join());
  };
  const [one, again, other] = [await outcomes(5), await outcomes(5), await outcomes(6)];
  t.deepEqual(one, again);
  t.notDeepEqual(one, other);
  t.true(new Set(one).size > 2);
});
