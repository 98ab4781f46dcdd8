// SPDX-License-Identifier: AGPL-3.0-or-later
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import test, { type ExecutionContext } from "ava";
import { StorPoolSimulator } from "../../../sim/storpool/index.js";
import type { Resolve } from "../../../src/arrays/storpool/addresses.js";
import { StorpoolClient } from "../../../src/arrays/storpool/client.js";
import { makeVolume } from "../../../src/arrays/storpool/creation.js";
import { Transport } from "../../../src/arrays/storpool/transport.js";
import type { Context } from "../../../src/common/context.js";
import type { TransportLimits } from "../../../src/common/http/limits.js";
import { silentLogger } from "../../../src/common/log.js";
import { Secret } from "../../../src/common/secret.js";
import { row, serve, token } from "./fake.js";
import { blackHole, mute, Way } from "./hosts.js";

const ctx: Context = { signal: new AbortController().signal, log: silentLogger };
const status = [{ name: "nvme", stored: { capacity: 2, free: 1 } }];

/** A host of the API. Says who asked it. */
async function host(t: ExecutionContext, address: string, port = 0) {
  const seen: string[] = [];
  const server = createServer((request, reply) => {
    seen.push(request.url ?? "");
    const data = request.method === "POST" ? { globalId: "a.b.c" } : status;
    reply.end(JSON.stringify({ data: request.url?.includes("VolumesList") ? [row("a.b.c")] : data }));
  });
  await new Promise<void>((resolve) => server.listen(port, address, resolve));
  t.teardown(() => server.close());
  return { seen, server, port: (server.address() as AddressInfo).port };
}

/** A client of a name with these addresses. */
function clientOf(
  t: ExecutionContext,
  addresses: readonly string[],
  port: number,
  limits: Partial<TransportLimits> = {},
): StorpoolClient {
  const resolve: Resolve = (_name, done) =>
    done(
      null,
      addresses.map((address) => ({ address, family: 4 })),
    );
  const endpoint = { host: "api.example", port, token: new Secret(token) };
  const client = new StorpoolClient(new Transport(endpoint, limits, resolve));
  t.teardown(() => client.close());
  return client;
}

/** A state, a query and commands, the first of them within PVE's patience. */
async function works(t: ExecutionContext, client: StorpoolClient): Promise<void> {
  const started = performance.now();
  t.is((await client.templatesStatus(ctx)).length, 1);
  t.true(performance.now() - started < 4_000);
  t.is((await client.volumes(ctx)).length, 1);
  t.is(await client.createVolume(ctx, { template: "nvme", size: 512n }, {}), "a.b.c");
  await client.updateVolume(ctx, "a.b.c", { size: 512n });
}

test("an address that refuses is passed over", async (t) => {
  const alive = await host(t, "127.0.0.13");
  await works(t, clientOf(t, ["127.0.0.12", "127.0.0.13"], alive.port));
  t.is(alive.seen.length, 4);
});

test("an address that swallows packets is passed over, and not tried first again", async (t) => {
  const port = await blackHole(t, "127.0.0.12");
  const alive = await host(t, "127.0.0.13", port);
  const client = clientOf(t, ["127.0.0.12", "127.0.0.13"], port);
  await works(t, client);
  const started = performance.now();
  for (let i = 0; i < 20; i++) await client.volumes(ctx);
  t.true(performance.now() - started < 20 * 200, "each would lose 300 ms");
  t.is(alive.seen.length, 24);
});

test("an address that accepts and never answers is left for the other one, also by commands", async (t) => {
  const port = await mute(t, "127.0.0.12");
  const alive = await host(t, "127.0.0.13", port);
  await works(t, clientOf(t, ["127.0.0.12", "127.0.0.13"], port));
  t.is(alive.seen.length, 4);
});

test("a host that comes back is used when the other one goes", async (t) => {
  const second = await host(t, "127.0.0.13");
  const client = clientOf(t, ["127.0.0.12", "127.0.0.13"], second.port);
  t.is((await client.volumes(ctx)).length, 1);
  const first = await host(t, "127.0.0.12", second.port);
  second.server.closeAllConnections();
  await new Promise((resolve) => second.server.close(resolve));
  await works(t, client);
  t.is(first.seen.length, 4);
});

test("no address that answers is unreachable, for a state before PVE's patience ends", async (t) => {
  const port = await blackHole(t, "127.0.0.12");
  await mute(t, "127.0.0.13", port);
  for (const addresses of [["127.0.0.12"], ["127.0.0.13"], ["127.0.0.12", "127.0.0.13"], ["127.0.0.14"]]) {
    const client = clientOf(t, addresses, port);
    const started = performance.now();
    await t.throwsAsync(client.templatesStatus(ctx), {
      code: "unreachable",
      message: /^ask StorPool for capacities: no .*api\.example:.*; check the network and SP_API_HTTP_HOST/,
    });
    t.true(performance.now() - started < 4_000, addresses.join(" "));
  }
});

test("a name that cannot be resolved is unreachable", async (t) => {
  const endpoint = { host: "api.example", port: 81, token: new Secret(token) };
  const resolve: Resolve = (_name, done) => done(Object.assign(new Error(), { code: "ENOTFOUND" }), []);
  const client = new StorpoolClient(new Transport(endpoint, { pausesMs: [] }, resolve));
  t.teardown(() => client.close());
  await t.throwsAsync(client.volumes(ctx), { code: "unreachable", message: /ENOTFOUND/ });
});

test("when the address moves, no request goes to the dead host, and those under way are repeated", async (t) => {
  const sim = await StorPoolSimulator.start({ templates: ["nvme"] });
  t.teardown(() => sim.close());
  const way = await Way.open(t, sim.port);
  const limits = { querySilenceMs: 600, probeSilenceMs: 600, commandMs: 1_000 };
  const endpoint = { host: "127.0.0.1", port: way.port, token: new Secret(sim.token) };
  const client = new StorpoolClient(new Transport(endpoint, limits));
  t.teardown(() => client.close());
  const create = () => makeVolume(client, ctx, { template: "nvme", size: 512n }, {}, { looksMs: [0] });
  await create();
  way.cutOff();
  const started = performance.now();
  t.is((await client.templatesStatus(ctx)).length, 1);
  t.is((await client.volumes(ctx)).length, 1);
  await create();
  t.is(sim.state.objects.size, 2);
  for (const on of ["VolumeTemplatesStatus", "VolumesList", "VolumeCreate"]) {
    sim.inject({ kind: "delay", on, ms: 300 });
  }
  const underWay = Promise.all([client.templatesStatus(ctx), client.volumes(ctx), create()]);
  await sleep(150);
  way.cutOff();
  const [templates, volumes] = await underWay;
  t.is(templates.length, 1);
  t.true(volumes.length >= 2);
  t.is(sim.state.objects.size, 3, "what went unanswered was found, not made twice");
  t.true(performance.now() - started < 10_000, "nobody waited for the dead host");
});

test("a query that is only slow is answered by its first attempt", async (t) => {
  const answer = JSON.stringify({ data: status });
  const slow = [
    (reply: { end(text: string): void }) => void setTimeout(() => reply.end(answer), 1_000),
    () => {},
  ];
  const { client, seen } = await serve(t, slow, { probeSilenceMs: 200, probeMs: 3_000 });
  t.is((await client.templatesStatus(ctx)).length, 1);
  t.is(seen.length, 2, "sent once more, and no oftener");
});

test("slow queries keep no connection from a state", async (t) => {
  const { client, seen } = await serve(t, [
    (reply, { path }) => {
      if (path === "VolumeTemplatesStatus") reply.end(JSON.stringify({ data: status }));
    },
  ]);
  const slow = Promise.allSettled(Array.from({ length: 20 }, () => client.volumes(ctx)));
  while (!seen.some(({ path }) => path === "VolumesList")) await sleep(5);
  t.is((await client.templatesStatus(ctx)).length, 1);
  await client.close();
  await slow;
});
