// SPDX-License-Identifier: AGPL-3.0-or-later
import test, { type ExecutionContext } from "ava";
import { randomFrom } from "../../../sim/common/random.js";
import type { FaultPlan, SimulatorOptions } from "../../../sim/linstor/index.js";
import { keys } from "../../../src/arrays/linstor/names.js";
import { codeOf } from "../../../src/common/errors.js";
import { Model, type Rules } from "../model.js";
import { type NodeName, Nodes, refOf } from "./nodes.js";

const plan: FaultPlan = {
  delay: 0.05,
  maxDelayMs: 3,
  resetBefore: 0.06,
  resetAfter: 0.06,
  garbage: 0.04,
  error: 0.02,
  lateError: 0.02,
  deployFails: 0.03,
  snapshotFails: 0.05,
  rollbackFails: 0.05,
};
const steps = 25;
/** Few attempts, so that some verbs fail in the end. */
const options = { limits: { pausesMs: [1, 1] }, patience: { undoMs: 100 } };

const rules: Omit<Rules<NodeName>, "nodes"> = {
  refOf,
  leastMib: 4,
  isUnknown: (error) =>
    ["unreachable", "timeout"].includes(codeOf(error)) || /injected|failed/i.test(String(error)),
  exclusive: false,
  newestOnly: false,
};

/** Pools and satellites that the seeds take turns with; one may go away after a third of the steps, with what it has by then. */
const clusters: readonly { readonly simulator: SimulatorOptions; readonly away?: NodeName }[] = [
  { simulator: { pools: [{ name: "ssd", kind: "LVM_THIN" }] } },
  { simulator: { pools: [{ name: "ssd", kind: "ZFS" }], nodes: ["pve1", "pve2"] } },
  { simulator: { pools: [{ name: "ssd", kind: "FILE_THIN" }] }, away: "pve3" },
  { simulator: { pools: [{ name: "ssd", kind: "ZFS_THIN" }] } },
  { simulator: { pools: [{ name: "ssd", kind: "LVM_THIN" }] }, away: "pve2" },
];

/** Everything on the server in the words of the model: nothing more, nothing twice. */
async function compare(
  t: ExecutionContext,
  n: Nodes,
  { known }: Model<NodeName, FaultPlan>,
  seed: number,
): Promise<void> {
  const { driver } = n.at("pve1");
  const listed = (await driver.listVolumes(n.ctx)).map(({ ref }) => ref.name);
  t.deepEqual(listed.sort(), known.map(({ ref }) => ref.name).sort(), `seed ${seed}`);
  let copies = 0;
  for (const { ref, snaps, size, parent } of known) {
    const names = (await driver.listSnapshots(n.ctx, ref)).map(({ name }) => name);
    t.deepEqual(names.sort(), snaps.map(({ name }) => name).sort(), `seed ${seed}: ${ref.name}`);
    const volume = await driver.getVolume(n.ctx, ref);
    t.true(volume.size >= size && volume.size < size + (8n << 20n), `seed ${seed}: size of ${ref.name}`);
    t.is(volume.parent, parent?.of.ref.name, `seed ${seed}: parent of ${ref.name}`);
    copies += snaps.reduce((sum, { on }) => sum + on.size, 0);
  }
  const exported = n.sim.state.definitions.values().filter(({ props }) => props[keys.export] !== undefined);
  t.true(exported.length >= copies, `seed ${seed}: ${exported.length} copies for ${copies} readers`);
  t.is(n.definitions().length, known.length + exported.length, `seed ${seed}: definitions nobody knows of`);
  t.deepEqual(n.sim.check({ temporary: /^snap_/ }), [], `seed ${seed}`);
}

/** One seed; says how many verbs failed. */
async function run(t: ExecutionContext, seed: number): Promise<number> {
  const { simulator, away } = clusters[seed % clusters.length] ?? { simulator: {} };
  const n = await Nodes.start(t, { simulator: { ...simulator, seed }, options });
  const online = n.sim.state.nodes
    .values()
    .map(({ name }) => name as NodeName)
    .filter((name) => name !== away);
  n.sim.faults.plan(plan);
  const random = randomFrom(seed);
  const model = new Model(n, { ...rules, nodes: online }, random, plan);
  for (let step = 0; step < steps; step++) {
    if (away && step === Math.floor(steps / 3)) {
      await n.sim.setNode(away, false);
      model.away = true;
    }
    await model.step().catch((error: unknown) => {
      throw new Error(`seed ${seed}, step ${step}: ${String(error)}`, { cause: error });
    });
  }
  n.sim.faults.plan({});
  if (away) await n.sim.setNode(away, true);
  model.away = false;
  await compare(t, n, model, seed);
  n.sim.faults.plan(plan);
  for (let round = 0; model.known.length > 0; round++) {
    if (round > 500) throw new Error(`seed ${seed}: ${model.known.length} volumes cannot be deleted`);
    const one = model.known[Math.floor(random() * model.known.length)];
    if (one) await model.delete(one);
  }
  n.sim.faults.plan({});
  t.deepEqual([n.definitions(), n.snapshots()], [[], []], `seed ${seed}: left behind`);
  t.deepEqual(n.sim.check(), [], `seed ${seed}`);
  t.true(n.sim.journal.entries.some(({ faults }) => faults.length > 0));
  return model.failures;
}

/** Registers tests of ten seeds each, one after the other. */
export function underFaults(from: number, to: number): void {
  for (let first = from; first <= to; first += 10) {
    const last = Math.min(first + 9, to);
    test.serial(`what is said of the verbs is so under faults (seeds ${first} to ${last})`, async (t) => {
      t.timeout(300_000);
      let failures = 0;
      for (let seed = first; seed <= last; seed++) failures += await run(t, seed);
      t.true(failures > 0, "no verb ever failed: the faults are too few to prove anything");
    });
  }
}
