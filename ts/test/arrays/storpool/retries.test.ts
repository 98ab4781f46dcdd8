// SPDX-License-Identifier: AGPL-3.0-or-later
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import test from "ava";
import { defaultLimits } from "../../../src/arrays/storpool/transport.js";
import { fail } from "../../../src/common/errors.js";
import { LostReply } from "../../../src/common/http/lost.js";
import { eventually } from "../../eventually.js";
import { connect, cut, data, error, freePort, row, serve, silence } from "./fake.js";

const gid = "nzkr.b.1f";
const ok = data({ ok: true });
const passing = error("busy", "later", { transient: true });

test("the limits for real arrays", (t) => {
  t.deepEqual(defaultLimits, {
    connectMs: 5_000,
    queryMs: 30_000,
    commandMs: 60_000,
    probeMs: 3_400,
    querySilenceMs: 5_000,
    probeSilenceMs: 1_000,
    pausesMs: [1_000, 2_000, 4_000, 8_000],
  });
});

test("passing errors are waited out, by queries and by every command", async (t) => {
  const { client, ctx, seen } = await serve(t, [
    passing,
    passing,
    data([row(gid)]),
    passing,
    ok,
    passing,
    data({ globalId: gid }),
  ]);
  t.is((await client.volume(ctx, gid)).gid, gid);
  t.true(await client.deleteVolume(ctx, gid));
  t.is(await client.createVolume(ctx, { template: "a", size: 512n }, {}), gid);
  t.is(seen.length, 7);
});

test("five attempts and no more", async (t) => {
  const { client, ctx, seen } = await serve(t, [passing]);
  await t.throwsAsync(client.volume(ctx, gid), { code: "busy" });
  t.is(seen.length, 5);
});

test("pauses are kept", async (t) => {
  const { client, ctx } = await serve(t, [passing, passing, data([row(gid)])], { pausesMs: [100, 200] });
  const started = performance.now();
  await client.volume(ctx, gid);
  t.true(performance.now() - started >= 295);
});

test("a refused connection is tried again by queries and by creating commands", async (t) => {
  const port = await freePort(t);
  const { client, ctx } = connect(t, port, { pausesMs: [100, 100, 200, 400, 800] });
  let creations = 0;
  const server = createServer((request, reply) => {
    if (request.method === "POST") creations++;
    reply.end(JSON.stringify({ data: request.method === "POST" ? { globalId: gid } : [row(gid)] }));
  });
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const both = Promise.all([
    client.volume(ctx, gid),
    client.createVolume(ctx, { template: "a", size: 512n }, {}),
  ]);
  await sleep(150);
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  t.is((await both)[1], gid);
  t.is(creations, 1);
});

test("a port on which nobody listens is unreachable, and nothing was lost", async (t) => {
  const { client, ctx } = connect(t, await freePort(t));
  await t.throwsAsync(client.volume(ctx, gid), { code: "unreachable", message: /ECONNREFUSED/ });
  const thrown = await t.throwsAsync(client.createVolume(ctx, { template: "a", size: 512n }, {}));
  t.like(thrown, { code: "unreachable" });
  t.false(thrown instanceof LostReply);
});

test("a creating command whose reply is lost is sent once", async (t) => {
  for (const step of [cut(), silence]) {
    const { client, ctx, seen } = await serve(t, [step], { commandMs: 1_500 });
    await t.throwsAsync(client.createVolume(ctx, { template: "a", size: 512n }, {}), {
      instanceOf: LostReply,
    });
    await t.throwsAsync(client.snapshotVolume(ctx, gid, {}), { instanceOf: LostReply });
    await t.throwsAsync(client.groupSnapshot(ctx, [{ gid, tags: {} }]), { instanceOf: LostReply });
    t.is(seen.length, 3);
  }
});

test("the reply of a creation that names nothing counts as lost", async (t) => {
  const { client, ctx } = await serve(t, [ok]);
  await t.throwsAsync(client.createVolume(ctx, { template: "a", size: 512n }, {}), { instanceOf: LostReply });
});

test("a repeatable command is sent again after a cut, before and after its effect", async (t) => {
  const { client, ctx, seen } = await serve(t, [cut(), cut(), ok]);
  await client.updateVolume(ctx, gid, { tags: { a: "1" } });
  t.is(seen.length, 3);
});

test("deleting what an unanswered attempt has deleted succeeds", async (t) => {
  const gone = error("objectDoesNotExist", "no volume");
  const { client, ctx } = await serve(t, [cut(), gone, gone]);
  t.true(await client.deleteVolume(ctx, gid), "its own work");
  t.false(await client.deleteVolume(ctx, gid), "there was none");
});

test("freezing what an unanswered attempt has frozen succeeds", async (t) => {
  const { client, ctx } = await serve(t, [cut(), error("objectDoesNotExist", "no volume")]);
  t.true(await client.freeze(ctx, gid));
});

test("other commands do not take absence for success after a lost reply", async (t) => {
  const { client, ctx } = await serve(t, [cut(), error("objectDoesNotExist", "no volume")]);
  await t.throwsAsync(client.updateVolume(ctx, gid, { size: 512n }), { code: "absent" });
});

test("attaching is repeated after a lost reply, taking over by force is not", async (t) => {
  const { client, ctx, seen } = await serve(t, [cut(), ok, cut(), ok]);
  await client.reassignWait(ctx, [{ volume: gid, rw: [1] }], 5);
  t.is(seen.length, 2);
  const takeover = [{ volume: gid, rw: [1], detach: "all", force: true }] as const;
  await t.throwsAsync(client.reassignWait(ctx, takeover, 5), { instanceOf: LostReply });
  t.is(seen.length, 3);
});

test("an attempt without answer ends with its limit", async (t) => {
  const { client, ctx, seen } = await serve(t, [silence], { queryMs: 1_500, pausesMs: [5] });
  await t.throwsAsync(client.volume(ctx, gid), { code: "timeout", message: /no answer within 1\.5 s/ });
  t.is(seen.length, 2);
});

test("waiting for attachments has a limit of its own, longer than that of commands", async (t) => {
  const { client, ctx } = await serve(t, [(reply, request) => setTimeout(() => ok(reply, request), 900)], {
    commandMs: 300,
    queryMs: 300,
  });
  await client.reassignWait(ctx, [{ volume: gid, rw: [1] }], 0);
  await t.throwsAsync(client.updateVolume(ctx, gid, {}), { code: "timeout" });
});

test("waiting for a client ends in time, all attempts together", async (t) => {
  const { client, ctx } = await serve(t, [silence], { pausesMs: [300, 300] });
  const started = performance.now();
  await t.throwsAsync(client.clientConfigWait(ctx, 11, 200), { code: "timeout" });
  t.true(performance.now() - started < 1_500);
});

test("waiting calls leave connections to others", async (t) => {
  const { client, ctx } = await serve(t, [
    (reply, request) => {
      if (request.method === "GET") data([])(reply, request);
    },
  ]);
  const waiting = Array.from({ length: 12 }, () => client.reassignWait(ctx, [{ volume: gid, rw: [1] }], 0));
  const settled = Promise.allSettled(waiting);
  await sleep(50);
  t.deepEqual(await client.volumes(ctx), []);
  await client.close();
  await settled;
});

test("the caller's deadline ends an attempt, a pause and a call that comes too late", async (t) => {
  const { client, ctx, seen } = await serve(t, [silence, passing], { pausesMs: [60_000] });
  const gone = new AbortController();
  const asked = client.volume({ ...ctx, signal: gone.signal }, gid);
  asked.catch(() => undefined);
  t.true(await eventually(() => seen.length === 1));
  gone.abort(fail("timeout", "the time is over"));
  const first = await t.throwsAsync(asked, { code: "timeout" });
  t.regex(first?.message ?? "", /^look up volume nzkr\.b\.1f: /);
  const pausing = { ...ctx, signal: AbortSignal.timeout(2_000) };
  await t.throwsAsync(client.volume(pausing, gid), { code: "timeout", message: /later.*gave up/ });
  const late = { ...ctx, signal: AbortSignal.abort(fail("timeout", "the caller hung up")) };
  const thrown = await t.throwsAsync(client.createVolume(late, { template: "a", size: 512n }, {}), {
    code: "timeout",
    message: /the caller hung up/,
  });
  t.false(thrown instanceof LostReply, "nothing was sent");
  t.is(seen.length, 2);
});

test("an abort while a creating command is under way leaves its reply lost", async (t) => {
  const { client, ctx } = await serve(t, [silence]);
  const soon = { ...ctx, signal: AbortSignal.timeout(500) };
  const create = client.createVolume(soon, { template: "a", size: 512n }, {});
  await t.throwsAsync(create, { instanceOf: LostReply, code: "timeout" });
});
