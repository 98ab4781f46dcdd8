// SPDX-License-Identifier: AGPL-3.0-or-later
import test, { type ExecutionContext } from "ava";
import { randomFrom } from "../../../sim/common/random.js";
import type { BehaviourChange } from "../../../sim/storpool/behaviour.js";
import type { FaultPlan } from "../../../sim/storpool/index.js";
import { requestTag, tag } from "../../../src/arrays/storpool/tags.js";
import { Model } from "./model.js";
import { gidOf, Nodes, refOf } from "./nodes.js";

const plan: FaultPlan = { delay: 0.1, maxDelayMs: 4, transient: 0.12, resetBefore: 0.12, resetAfter: 0.12 };
const seeds = 50;
const steps = 25;
/** Few attempts, so that some verbs fail in the end. */
const pace = { pausesMs: [1, 1], looksMs: [0, 1] };

/** Everything on the array in the words of the model: nothing more, nothing twice. */
async function compare(t: ExecutionContext, n: Nodes, { known }: Model, seed: number): Promise<void> {
  const driver = n.drivers["node-a"];
  const listed = (await driver.listVolumes(n.ctx)).map(({ ref, size }) => `${ref.name} ${size}`);
  t.deepEqual(listed.sort(), known.map(({ ref, size }) => `${ref.name} ${size}`).sort(), `seed ${seed}`);
  for (const { ref, base, snaps } of known) {
    if (base) continue;
    const names = (await driver.listSnapshots(n.ctx, ref)).map(({ name }) => name);
    t.deepEqual(names.sort(), [...snaps.keys()].sort(), `seed ${seed}: ${ref.name}`);
  }
  const living = [...n.sim.state.objects.values()].filter(({ deleted }) => !deleted);
  const expected = known.reduce((sum, { snaps }) => sum + 1 + snaps.size, 0);
  t.is(living.length, expected, `seed ${seed}: objects that nobody knows of`);
  // Only where taking the mark off failed too.
  const requests = living.flatMap(({ tags }) => tag(tags, requestTag) ?? []);
  t.is(new Set(requests).size, requests.length, `seed ${seed}: one request, two objects`);
  const attached = n.sim.state.attachments.map(({ object }) => object.globalId).sort();
  const wanted = known.filter((one) => one.attached).map(({ ref }) => gidOf(ref));
  t.deepEqual(attached, wanted.sort(), `seed ${seed}`);
  t.deepEqual(n.sim.check(), [], `seed ${seed}`);
}

/** One seed; says how many verbs failed. */
async function run(t: ExecutionContext, seed: number, behaviour: BehaviourChange = {}): Promise<number> {
  const n = await Nodes.start(t, { seed, faults: plan, behaviour }, { pace });
  const random = randomFrom(seed);
  const model = new Model(n, random, plan);
  for (let step = 0; step < steps; step++) await model.step();
  n.sim.faults.plan({});
  await compare(t, n, model, seed);
  n.sim.faults.plan(plan);
  while (model.known.length > 0) {
    const one = model.known[Math.floor(random() * model.known.length)];
    if (one) await model.delete(one);
  }
  t.deepEqual([...n.sim.state.objects.values()], [], `seed ${seed}: left behind`);
  t.deepEqual(n.sim.check(), [], `seed ${seed}`);
  t.true(n.sim.journal.entries.some(({ faults }) => faults.length > 0));
  return model.failures;
}

for (let first = 1; first <= seeds; first += 10) {
  test.serial(
    `what the driver says of its verbs is so under faults (seeds ${first} to ${first + 9})`,
    async (t) => {
      let failures = 0;
      for (let seed = first; seed < first + 10; seed++) failures += await run(t, seed);
      t.true(failures > 0, "no verb ever failed: the faults are too few to prove anything");
    },
  );
}

test.serial("what the driver says of its verbs is so when errors come as text besides", async (t) => {
  let failures = 0;
  for (let seed = 1; seed <= 20; seed++) failures += await run(t, seed, { errorTransport: "status-text" });
  t.true(failures > 0, "no verb ever failed: the faults are too few to prove anything");
});

test("a base is not taken back while it is unknown whether its volume is gone", async (t) => {
  const n = await Nodes.start(t);
  const disk = await n.disk();
  const driver = n.drivers["node-a"];
  // Carried out the first time, and never answered.
  n.sim.inject({ kind: "reset-after", on: "VolumeDelete", count: 5 });
  const make = () => driver.makeBase(n.ctx, disk, refOf(100, "base-100-disk-0"));
  await t.throwsAsync(make(), { code: "unreachable" });
  const base = await make();
  t.is((await driver.getVolume(n.ctx, base)).size, 1n << 20n);
  t.is(n.sim.state.objects.size, 1);
});

test("a base whose volume cannot go is taken back", async (t) => {
  const n = await Nodes.start(t);
  const disk = await n.disk();
  n.sim.inject({ kind: "error", on: "VolumeDelete", name: "busy", descr: "no" });
  const driver = n.drivers["node-a"];
  await t.throwsAsync(driver.makeBase(n.ctx, disk, refOf(100, "base-100-disk-0")), { code: "busy" });
  t.deepEqual(
    (await driver.listVolumes(n.ctx)).map(({ ref }) => ref.name),
    [disk.name],
  );
  t.is([...n.sim.state.objects.values()].filter(({ deleted }) => !deleted).length, 1);
});

test("a rename whose answers were all lost is there under the new name, and absent under the old one", async (t) => {
  const n = await Nodes.start(t);
  const disk = await n.disk();
  const driver = n.drivers["node-a"];
  n.sim.inject({ kind: "reset-after", on: "VolumeUpdate", count: 5 });
  const rename = () => driver.renameVolume(n.ctx, disk, refOf(101, "vm-101-disk-3"));
  await t.throwsAsync(rename(), { code: "unreachable" });
  await t.throwsAsync(rename(), { code: "absent" });
  const { ref } = await driver.getVolume(n.ctx, refOf(101, "vm-101-disk-3"));
  t.is(ref.name, `vm-101-disk-3-sp-${gidOf(disk)}.raw`);
});
