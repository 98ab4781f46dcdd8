// SPDX-License-Identifier: AGPL-3.0-or-later
import { inspect } from "node:util";
import test from "ava";
import { ArrayError } from "../../../src/arrays/storpool/answer.js";
import { cut, data, error, serve, silence, text, token } from "./fake.js";

const gid = "nzkr.b.1f";

const names: Record<string, string> = {
  objectDoesNotExist: "absent",
  busy: "busy",
  insufficientResources: "no-space",
  invalidParam: "invalid",
  notAuthorized: "auth",
  invalidAuthToken: "auth",
  somethingNew: "refused",
};
for (const status of [200, 400, 404, 500, 503]) {
  for (const [name, code] of Object.entries(names)) {
    test(`${name} with HTTP status ${status} is ${code}, once and with its text`, async (t) => {
      const { client, ctx, seen } = await serve(t, [error(name, "what it is", { status })]);
      const thrown = await t.throwsAsync(client.volume(ctx, gid), { code, instanceOf: ArrayError });
      t.regex(
        thrown?.message ?? "",
        new RegExp(`^look up volume ${gid}: StorPool says ${name}: what it is; `),
      );
      t.is(seen.length, 1);
    });
  }
}

test("an open device is busy under both of its names", async (t) => {
  const { client, ctx } = await serve(t, [
    error("invalidParam", "volume ~x is open at client 12"),
    error("busy", "x"),
  ]);
  const open = await t.throwsAsync(client.reassignWait(ctx, [{ volume: gid, detach: [12] }], 5));
  t.like(open, { code: "busy", open: true, errorName: "invalidParam" });
  t.like(await t.throwsAsync(client.deleteVolume(ctx, gid)), { code: "busy", open: false });
});

test("a node without block service is told what to start", async (t) => {
  const { client, ctx } = await serve(t, [error("invalidParam", "No such client registered")]);
  const attach = client.reassignWait(ctx, [{ volume: gid, rw: [12] }], 5);
  await t.throwsAsync(attach, { code: "refused", message: /start storpool_block .* SP_OURID/ });
});

test("HTTP statuses 401 and 403 without JSON are a matter of credentials", async (t) => {
  for (const status of [401, 403]) {
    const { client, ctx, seen } = await serve(t, [text(status, "go away")]);
    await t.throwsAsync(client.services(ctx), { code: "auth" });
    t.is(seen.length, 1);
  }
});

for (const [what, step] of Object.entries({
  "a page of a proxy": text(502, "<html>Bad gateway</html>"),
  "no JSON at all": text(200, "hello"),
  "half a reply": text(200, '{"data": [{"glob'),
  "an empty reply": text(200, ""),
  "JSON without data": text(200, '{"generation": 1}'),
  "JSON that is no object": text(200, "7"),
  "a failure without error": text(500, '{"data": {}}'),
  "a cut connection": cut(),
})) {
  test(`${what} leaves a query unreachable after five attempts, and is overcome by a good reply`, async (t) => {
    const { client, ctx, seen } = await serve(t, [step]);
    await t.throwsAsync(client.volume(ctx, gid), { code: "unreachable" });
    t.is(seen.filter(({ path }) => path === `Volume/~${gid}`).length, 5);
    t.true(seen.length <= 6, "another way is tried once");
    const second = await serve(t, [step, step, data({ clusterStatus: "running", clients: {} })]);
    t.is((await second.client.services(second.ctx)).clusterStatus, "running");
  });
}

test("a page without JSON and HTTP status 404 is not absent", async (t) => {
  const { client, ctx } = await serve(t, [text(404, "not found")]);
  await t.throwsAsync(client.volume(ctx, gid), { code: "unreachable" });
  await t.throwsAsync(client.describeTemplate(ctx, "nvme"), { code: "unreachable" });
  await t.throwsAsync(client.deleteVolume(ctx, gid), { code: "unreachable" });
});

test("an object that passingly does not exist is not absent", async (t) => {
  const { client, ctx, seen } = await serve(t, [
    error("objectDoesNotExist", "starting", { transient: true }),
  ]);
  await t.throwsAsync(client.volume(ctx, gid), { code: "unreachable" });
  t.is(seen.length, 5);
});

test("the token is in no error and no log line, also when the array quotes it", async (t) => {
  const steps = [
    error(`bad${token}`, `header Storpool v1:${token} refused`),
    error("invalidParam", `x ${token}`, { status: 500 }),
    error("busy", `x ${token}`, { transient: true }),
    text(500, token),
    text(200, `{"data": {"clients": "${token}", "clusterStatus": {"${token}": 1}}}`),
    cut(),
    silence,
  ];
  for (const step of steps) {
    const { client, ctx, lines } = await serve(t, [step], { queryMs: 100, commandMs: 100, pausesMs: [5] });
    for (const call of [() => client.templatesStatus(ctx), () => client.snapshotVolume(ctx, gid, {})]) {
      const thrown = await t.throwsAsync(call);
      t.false(inspect(thrown, { depth: 9, showHidden: true }).includes(token));
      t.false(JSON.stringify(thrown).includes(token));
    }
    t.false(lines.join("").includes(token));
    t.false(inspect(client, { depth: 3 }).includes(token));
  }
});
