// SPDX-License-Identifier: AGPL-3.0-or-later
import test, { type ExecutionContext } from "ava";
import { randomFrom } from "../../../sim/common/random.js";
import type { BehaviourChange, FaultPlan } from "../../../sim/joviandss/index.js";
import { exportObjectName } from "../../../src/arrays/joviandss/names.js";
import { codeOf } from "../../../src/common/errors.js";
import { Model, type Rules } from "../model.js";
import { type NodeName, Nodes, refOf } from "./nodes.js";

const plan: FaultPlan = {
  delay: 0.05,
  maxDelayMs: 3,
  resetBefore: 0.12,
  resetAfter: 0.12,
  garbage: 0.06,
  nullData: 0.06,
  clash: 0.1,
};
const steps = 25;
/** Few attempts, so that some verbs fail in the end. */
const pace = { limits: { pausesMs: [1] } };

const rules: Rules<NodeName> = {
  nodes: ["a", "b"],
  refOf,
  leastMib: 1,
  isUnknown: (error) =>
    ["unreachable", "timeout"].includes(codeOf(error)) || /CfgParserError/.test(String(error)),
  exclusive: true,
  newestOnly: true,
};

/** What differs between releases, and the API before. */
const releases: readonly BehaviourChange[] = [
  {},
  { errors: "legacy", errno: "string", snapshotRows: "flat", hasClones: "zfs" },
  { versions: ["v3"], lists: "array", errors: "legacy", snapshotRows: "flat", changed: 200, created: 200 },
  {
    notFoundStatus: 500,
    targetCreated: 202,
    targetDeleteCalls: 2,
    deleteAttached: "busy",
    ignoresPage: true,
  },
];

/** Everything on the array in the words of the model: nothing more, nothing twice. */
async function compare(
  t: ExecutionContext,
  n: Nodes,
  { known }: Model<NodeName, FaultPlan>,
  seed: number,
): Promise<void> {
  const { driver } = n.at("a");
  const listed = (await driver.listVolumes(n.ctx)).map(({ ref, size }) => `${ref.name} ${size}`);
  t.deepEqual(listed.sort(), known.map(({ ref, size }) => `${ref.name} ${size}`).sort(), `seed ${seed}`);
  for (const { ref, snaps } of known) {
    const names = (await driver.listSnapshots(n.ctx, ref)).map(({ name }) => name);
    t.deepEqual(
      names,
      snaps.map(({ name }) => name),
      `seed ${seed}: ${ref.name}`,
    );
  }
  const read = known.flatMap(({ ref, snaps }) =>
    snaps.filter(({ on }) => on.size > 0).map(({ name }) => `v_${ref.name}@s_${name}`),
  );
  const volumes = known.map(({ ref }) => `v_${ref.name}`);
  const clones = known.flatMap(({ ref, snaps }) =>
    snaps.filter(({ on }) => on.size > 0).map(({ name }) => exportObjectName(ref.name, name)),
  );
  t.deepEqual(n.volumes(), [...volumes, ...clones].sort(), `seed ${seed}: zvols that nobody knows of`);
  const made = known.filter(({ parent }) => parent && parent.snapshot === undefined).length;
  const snapshots = known.reduce((sum, { snaps }) => sum + snaps.length, made);
  t.is(n.snapshots().length, snapshots, `seed ${seed}: snapshots that nobody knows of`);
  t.deepEqual(n.sim.check({ volumes, exported: read }), [], `seed ${seed}`);
  for (const node of ["a", "b"] as const) {
    const disks = known.flatMap(({ on, snaps }) => [on, ...snaps.map((snap) => snap.on)]);
    const there = disks.filter((on: ReadonlySet<NodeName>) => on.has(node)).length;
    t.is(n.initiators[node].state.disks.length, there, `seed ${seed}: disks of node ${node}`);
  }
}

/** One seed; says how many verbs failed. */
async function run(t: ExecutionContext, seed: number): Promise<number> {
  const behaviour = releases[seed % releases.length] ?? {};
  const n = await Nodes.start(t, { simulator: { seed, faults: plan, behaviour }, pace });
  const random = randomFrom(seed);
  const model = new Model(n, rules, random, plan);
  for (let step = 0; step < steps; step++) {
    await model.step().catch((error: unknown) => {
      throw new Error(`seed ${seed}, step ${step}: ${String(error)}`, { cause: error });
    });
  }
  n.sim.faults.plan({});
  await compare(t, n, model, seed);
  n.sim.faults.plan(plan);
  for (let round = 0; model.known.length > 0; round++) {
    if (round > 500) throw new Error(`seed ${seed}: ${model.known.length} volumes cannot be deleted`);
    const one = model.known[Math.floor(random() * model.known.length)];
    if (one) await model.delete(one);
  }
  t.deepEqual([n.volumes(), n.snapshots(), n.targets()], [[], [], {}], `seed ${seed}: left behind`);
  t.deepEqual(n.sim.check({ volumes: [] }), [], `seed ${seed}`);
  t.true(n.sim.journal.entries.some(({ faults }) => faults.length > 0));
  return model.failures;
}

/** Registers tests of ten seeds each, one after the other. */
export function underFaults(from: number, to: number): void {
  for (let first = from; first <= to; first += 10) {
    const last = Math.min(first + 9, to);
    test.serial(`what is said of the verbs is so under faults (seeds ${first} to ${last})`, async (t) => {
      let failures = 0;
      for (let seed = first; seed <= last; seed++) failures += await run(t, seed);
      t.true(failures > 0, "no verb ever failed: the faults are too few to prove anything");
    });
  }
}
