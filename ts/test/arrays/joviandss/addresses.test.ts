// SPDX-License-Identifier: AGPL-3.0-or-later
import { networkInterfaces } from "node:os";
import test from "ava";
import { Rotation } from "../../../src/common/http/rotation.js";
import { access, connect, iqn, spec, start } from "./fake.js";

const [first, second] = ["127.0.0.1", "127.0.0.2"] as const;

test("the address that answers is kept, and a failure moves all to the next once", (t) => {
  const rotation = new Rotation(["a", "b", "c"]);
  t.is(rotation.current, "a");
  rotation.failed("a");
  rotation.failed("a");
  t.is(rotation.current, "b");
  rotation.worked("c");
  t.is(rotation.current, "c");
  t.is(rotation.after("c"), "a");
  rotation.failed("c");
  t.is(rotation.current, "a");
  const only = new Rotation(["x"]);
  only.failed("x");
  t.is(only.current, "x");
  t.is(only.after("x"), "x");
});

test("all requests go to the first address while it answers", async (t) => {
  const { client, ctx, sim } = await start(t);
  for (let n = 0; n < 3; n++) await client.pool(ctx);
  t.deepEqual([...new Set(sim.journal.entries.map(({ address }) => address))], [first]);
});

for (const state of ["refusing", "mute"] as const) {
  test(`an address that is ${state}: the other one takes over, for queries and changes`, async (t) => {
    const { client, ctx, sim } = await start(t, {}, { limits: { commandMs: 500, connectMs: 500 } });
    await sim.setAddress(first, state);
    await client.volumes.create(ctx, "v_a", spec);
    t.is((await client.pool(ctx)).name, "Pool-0");
    await sim.setAddress(first, "open");
    await sim.setAddress(second, state);
    t.is((await client.pool(ctx)).name, "Pool-0");
    await client.targets.create(ctx, iqn, access);
    t.deepEqual([...new Set(sim.journal.entries.map(({ address }) => address))].sort(), [first, second]);
  });
}

const hasIpv6 = Object.values(networkInterfaces()).some((all) =>
  all?.some(({ address }) => address === "::1"),
);

(hasIpv6 ? test : test.skip)("addresses of IPv6 are asked, verified and named in brackets", async (t) => {
  const { client, ctx, sim } = await start(t, { addresses: ["::1"] });
  t.is((await client.pool(ctx)).name, "Pool-0");
  await sim.setAddress("::1", "refusing");
  await t.throwsAsync(client.pool(ctx), { code: "unreachable", message: /JovianDSS at \[::1\]:[0-9]+ / });
});

test("a request that hangs at one address is answered by the other", async (t) => {
  const { client, ctx, sim } = await start(t, {}, { limits: { queryMs: 60_000 } });
  sim.inject({ kind: "hang", on: "poolGet", address: first });
  t.is((await client.pool(ctx)).name, "Pool-0");
  sim.inject({ kind: "hang", on: "vipList", address: second });
  t.is((await client.vips(ctx)).length, 2);
  t.deepEqual(
    sim.journal.entries.map(({ request, address }) => `${request} ${address}`),
    [`poolGet ${first}`, `poolGet ${second}`, `vipList ${second}`, `vipList ${first}`],
  );
});

test("a failover is waited for", async (t) => {
  const { client, ctx, sim } = await start(t, {}, { limits: { pausesMs: Array<number>(100).fill(20) } });
  await client.volumes.create(ctx, "v_a", spec);
  await sim.failover({ afterMs: 300 });
  t.is((await client.volumes.get(ctx, "v_a")).name, "v_a");
  await sim.failover({ to: [first], afterMs: 300 });
  await client.volumes.create(ctx, "v_b", spec);
  t.deepEqual(sim.check({ volumes: ["v_a", "v_b"] }), []);
});

test("a node without the pool is passed over, and never makes an object absent", async (t) => {
  const { client, ctx, sim } = await start(t, { behaviour: { standby: "pool-missing" } });
  await client.volumes.create(ctx, "v_a", spec);
  await sim.setAddress(first, "standby");
  t.is((await client.volumes.get(ctx, "v_a")).name, "v_a");
  t.is(await client.volumes.find(ctx, "v_x"), undefined, "the owner of the pool says so");
  await sim.setAddress(second, "standby");
  await t.throwsAsync(client.volumes.find(ctx, "v_a"), { code: "unreachable", message: /pool_name/ });
  await t.throwsAsync(client.volumes.delete(ctx, "v_a", { recursive: true }), { code: "unreachable" });
  await t.throwsAsync(client.pool(ctx), { code: "absent", message: /Pool Pool-0 not found/ });
});

test("an error that does not say what is missing is settled by a look at the pool", async (t) => {
  const { client, ctx, sim } = await start(t, { behaviour: { errorWithout: ["message"] } });
  t.is(await client.volumes.find(ctx, "v_x"), undefined);
  t.deepEqual(
    sim.journal.entries.map(({ request }) => request),
    ["volumeGet", "poolGet"],
  );
  const { client: other } = connect(t, sim, { pool: "Pool-9" });
  await t.throwsAsync(other.volumes.find(ctx, "v_x"), { code: "unreachable" });
});

test("the state of the array comes soon, or an error does", async (t) => {
  const { client, ctx, sim } = await start(
    t,
    {},
    { limits: { probeMs: 600, pausesMs: Array<number>(9).fill(1_000) } },
  );
  for (const address of sim.addresses) await sim.setAddress(address, "mute");
  const limit = AbortSignal.timeout(20_000);
  await t.throwsAsync(client.pool({ ...ctx, signal: limit }), { code: "unreachable" });
  t.false(limit.aborted);
});
