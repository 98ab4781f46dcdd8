// SPDX-License-Identifier: AGPL-3.0-or-later
import test, { type ExecutionContext } from "ava";
import type { FaultKind, JovianSimulator } from "../../../sim/joviandss/index.js";
import type { JoviandssClient } from "../../../src/arrays/joviandss/client.js";
import type { Context } from "../../../src/common/context.js";
import { isLostReply } from "../../../src/common/http/lost.js";
import { Secret } from "../../../src/common/secret.js";
import { access, connect, iqn, mib, spec, start } from "./fake.js";

type Given = { client: JoviandssClient; ctx: Context; sim: JovianSimulator };

/** A change by the name of its request: what must be there before, the change, and what must be so afterwards. */
interface Change {
  before?(given: Given): Promise<unknown>;
  run(given: Given): Promise<unknown>;
  after(t: ExecutionContext, given: Given): void;
}

const volume = ({ client, ctx }: Given) => client.volumes.create(ctx, "v_a", spec);
const snapshot = async (given: Given) => {
  await volume(given);
  await given.client.snapshots.create(given.ctx, "v_a", "s_1");
};
const target = ({ client, ctx }: Given) => client.targets.create(ctx, iqn, access);
const attached = async (given: Given) => {
  await volume(given);
  await target(given);
  await given.client.targets.attach(given.ctx, iqn, "v_a", 2);
};
const names = ({ sim }: Given) => [...sim.pool().volumes.keys()];
const luns = ({ sim }: Given) => [...(sim.pool().targets.get(iqn)?.luns.keys() ?? [])];

const changes: Record<string, Change> = {
  volumeCreate: { run: volume, after: (t, given) => void t.deepEqual(names(given), ["v_a"]) },
  cloneCreate: {
    before: snapshot,
    run: ({ client, ctx }) =>
      client.volumes.clone(ctx, { volume: "v_a", snapshot: "s_1" }, "v_c", { thin: true }),
    after: (t, given) => void t.deepEqual(names(given), ["v_a", "v_c"]),
  },
  snapshotCreate: {
    before: volume,
    run: ({ client, ctx }) => client.snapshots.create(ctx, "v_a", "s_1"),
    after: (t, { sim }) => void t.is(sim.pool().snapshots.size, 1),
  },
  snapshotDelete: {
    before: snapshot,
    run: async ({ client, ctx }) => client.snapshots.delete(ctx, "v_a", "s_1"),
    after: (t, { sim }) => void t.is(sim.pool().snapshots.size, 0),
  },
  volumeUpdate: {
    before: volume,
    run: async ({ client, ctx }) => {
      await client.volumes.rename(ctx, "v_a", "v_b");
      await client.volumes.resize(ctx, "v_b", 2n * mib);
    },
    after: (t, { sim }) => void t.is(sim.pool().volumes.get("v_b")?.volsize, Number(2n * mib)),
  },
  volumeDelete: {
    before: volume,
    run: async ({ client, ctx }) => client.volumes.delete(ctx, "v_a", { recursive: true }),
    after: (t, given) => void t.deepEqual(names(given), []),
  },
  targetCreate: { run: target, after: (t, { sim }) => void t.true(sim.pool().targets.has(iqn)) },
  targetDelete: {
    before: target,
    run: async ({ client, ctx }) => client.targets.delete(ctx, iqn),
    after: (t, { sim }) => void t.is(sim.pool().targets.size, 0),
  },
  lunAttach: {
    before: async (given) => {
      await volume(given);
      await target(given);
    },
    run: ({ client, ctx }) => client.targets.attach(ctx, iqn, "v_a", 2),
    after: (t, given) => void t.deepEqual(luns(given), [2]),
  },
  lunDetach: {
    before: attached,
    run: async ({ client, ctx }) => client.targets.detach(ctx, iqn, "v_a"),
    after: (t, given) => void t.deepEqual(luns(given), []),
  },
};

const faults: readonly FaultKind[] = [
  "reset-before",
  "reset-after",
  "cut",
  "garbage",
  "clash",
  "clash-after",
  "bad-gateway",
];

for (const [on, { before, run, after }] of Object.entries(changes)) {
  for (const kind of faults) {
    test(`${on} ends well after ${kind}, done once`, async (t) => {
      const given = await start(t);
      await before?.(given);
      given.sim.inject({ kind, on });
      const result = await run(given);
      // What deletes something says that it was there.
      t.not(result, false);
      after(t, given);
      t.deepEqual(given.sim.faults.pending, []);
      t.deepEqual(given.sim.check({ emptyTargets: [iqn] }), []);
    });
  }
}

test("a rollback without reply is not repeated: what became of it is unknown", async (t) => {
  const { client, ctx, sim } = await start(t);
  await client.volumes.create(ctx, "v_a", spec);
  await client.snapshots.create(ctx, "v_a", "s_1");
  sim.inject({ kind: "reset-after", on: "rollback" });
  const error = await t.throwsAsync(client.snapshots.rollback(ctx, "v_a", "s_1"), {
    message: /roll back to snapshot 's_1'.*the change may have been made/,
  });
  t.true(isLostReply(error));
  t.is(sim.journal.of("rollback").length, 1);
  sim.inject({ kind: "reset-after", on: "userAdd" });
  await client.targets.create(ctx, iqn, access);
  await t.throwsAsync(client.targets.addUser(ctx, iqn, "u1", new Secret("chap-secret-12")));
  t.deepEqual(await client.targets.users(ctx, iqn), [], "nobody knows its password");
});

for (const kind of ["clash", "clash-after"] as const) {
  test(`a CHAP user whose making ends in ${kind} is there in the end, with a password that is known`, async (t) => {
    const { client, ctx, sim } = await start(t);
    await client.targets.create(ctx, iqn, access);
    sim.inject({ kind, on: "userAdd" });
    await client.targets.addUser(ctx, iqn, "u1", new Secret("chap-secret-12"));
    t.deepEqual(await client.targets.users(ctx, iqn), ["u1"]);
    t.is(sim.journal.of("userAdd").length, 2);
    t.is(sim.journal.of("userDelete").length, 1);
  });
}

test("what somebody else made is not taken for ours after a lost reply", async (t) => {
  const { client, ctx, sim } = await start(t);
  await client.volumes.create(ctx, "v_a", { ...spec, size: 64n * mib });
  sim.inject({ kind: "reset-before", on: "volumeCreate" });
  await t.throwsAsync(client.volumes.create(ctx, "v_a", spec), { code: "exists" });
});

test("a query is repeated when nothing, null or nonsense comes back, or a list in no shape", async (t) => {
  const { client, ctx, sim } = await start(t);
  await client.volumes.create(ctx, "v_a", spec);
  for (const kind of ["reset-before", "reset-after", "garbage", "null-data", "bad-gateway", "cut"] as const) {
    sim.inject({ kind, on: "volumeGet" });
    t.is((await client.volumes.get(ctx, "v_a")).name, "v_a", kind);
    sim.inject({ kind, on: "volumeList" });
    t.is((await client.volumes.list(ctx)).length, 1, kind);
  }
});

test("an answer is final: refusals and wrong credentials are not repeated", async (t) => {
  const { client, ctx, sim } = await start(t);
  await t.throwsAsync(client.volumes.get(ctx, "v_a"), { code: "absent" });
  sim.inject({ kind: "os", on: "volumeGet" });
  await t.throwsAsync(client.volumes.get(ctx, "v_a"), { code: "refused" });
  t.is(sim.journal.entries.length, 2);
  sim.changePassword("another-secret");
  await t.throwsAsync(client.volumes.get(ctx, "v_a"), { code: "auth", message: /user_password/ });
  t.is(sim.journal.entries.length, 3);
});

test("after so many failures the last error stands, with its object and the address", async (t) => {
  const { client, ctx, sim } = await start(t);
  for (const address of sim.addresses) await sim.setAddress(address, "refusing");
  await t.throwsAsync(client.volumes.get(ctx, "v_a"), {
    code: "unreachable",
    message:
      /^look up volume 'v_a': no connection to JovianDSS at 127\.0\.0\.[12]:[0-9]+ \(ECONNREFUSED\); check .*control_addresses$/,
  });
  const error = await t.throwsAsync(client.volumes.create(ctx, "v_a", spec), { code: "unreachable" });
  t.false(isLostReply(error), "nothing was sent");
});

test("a caller without time left gets a typed error at once", async (t) => {
  const { client, ctx, sim } = await start(t, {}, { limits: { pausesMs: [60_000] } });
  for (const address of sim.addresses) await sim.setAddress(address, "refusing");
  const control = new AbortController();
  const asked = client.volumes.get({ ...ctx, signal: control.signal }, "v_a");
  setTimeout(() => control.abort(new Error("the guest's task was stopped")), 100);
  await t.throwsAsync(asked, { code: "timeout", message: /gave up: the guest's task was stopped/ });
});

test("no credential gets into errors or the log", async (t) => {
  const { client, ctx, sim, lines } = await start(t, { password: "very-secret-123" });
  const encoded = Buffer.from("admin:very-secret-123").toString("base64");
  sim.inject({
    kind: "error",
    on: "volumeGet",
    class: "very-secret-123",
    message: `saw very-secret-123 ${encoded}`,
  });
  const error = await t.throwsAsync(client.volumes.get(ctx, "v_a"));
  sim.inject({ kind: "reset-before", count: 2 });
  await client.pool(ctx);
  await client.targets.create(ctx, iqn, access);
  sim.inject({ kind: "error", on: "userAdd", message: "no chap-secret-12" });
  const chap = await t.throwsAsync(client.targets.addUser(ctx, iqn, "u1", new Secret("chap-secret-12")));
  const all = `${error?.message}${error?.stack}${chap?.message}${lines.join("")}${JSON.stringify(client)}`;
  t.regex(all, /saw \*\*\*/);
  t.true(lines.length > 0);
  t.notRegex(all, /very-secret|chap-secret/);
  t.false(all.includes(encoded));
});

test("a certificate is verified unless the section says otherwise", async (t) => {
  const { sim, client, ctx } = await start(t);
  t.is((await client.pool(ctx)).name, "Pool-0");
  sim.journal.clear();
  const other = connect(t, sim, { endpoint: { ca: "" } });
  await t.throwsAsync(other.client.pool(ctx), {
    code: "refused",
    message: /DEPTH_ZERO_SELF_SIGNED_CERT.*ssl_cert_verify/,
  });
  await t.throwsAsync(other.client.volumes.create(ctx, "v_a", spec), { code: "refused" });
  t.deepEqual(sim.journal.entries, [], "no credentials were sent");
  const trusting = connect(t, sim, { endpoint: { ca: "", verify: false } });
  t.is((await trusting.client.pool(ctx)).name, "Pool-0");
});
