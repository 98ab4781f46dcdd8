// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";
import { type Order, Orders, orderMembers } from "../common/orders.js";
import { randomFrom } from "../common/random.js";
import type { PartialFailure } from "./world.js";

/**
 * What can go wrong with one request. Without effect: `reset-before`, `hang` (no answer, the connection stays), `error`
 * (500 with a report, see `message`), `bad-gateway` (502 with text). With its effect: `reset-after`, `cut` (half of the
 * answer), `silent` (no answer), `garbage` (200 without JSON), `late-error` (done, but reported as failed). Halfway:
 * `deploy-fails`, `snapshot-fails`, `rollback-fails`, `clone-node-lost`. `node-offline`: the satellite of `node` is away
 * for `ms` milliseconds from now on. `delay` takes `ms` milliseconds more.
 */
export const faultKinds = [
  "delay",
  "reset-before",
  "hang",
  "error",
  "bad-gateway",
  "reset-after",
  "cut",
  "silent",
  "garbage",
  "late-error",
  "deploy-fails",
  "snapshot-fails",
  "rollback-fails",
  "clone-node-lost",
  "node-offline",
] as const;

/** See {@link faultKinds}. */
export type FaultKind = (typeof faultKinds)[number];

const partial: readonly string[] = [
  "deploy-fails",
  "snapshot-fails",
  "rollback-fails",
  "clone-node-lost",
] satisfies readonly PartialFailure[];

/** A fault for requests to come. */
export const faultSchema = z.strictObject({
  kind: z.enum(faultKinds),
  ...orderMembers,
  /** Of an `error` or a `late-error`. */
  message: z.string().default("injected"),
  /** Node that goes offline, or at which the deployment fails. */
  node: z.string().optional(),
});

/** See {@link faultSchema}. */
export type FaultOrder = z.input<typeof faultSchema>;

/** One that was ordered, with all its members. */
export type Fault = z.output<typeof faultSchema> & Order;

const probability = z.number().min(0).max(1).default(0);

/** Probabilities (0 to 1) of faults that come by themselves, the same ones for the same seed and requests. */
export const faultPlanSchema = z.strictObject({
  delay: probability,
  /** Longest delay in milliseconds. */
  maxDelayMs: z.number().int().min(1).default(100),
  resetBefore: probability,
  resetAfter: probability,
  /** HTTP 500 with a report, without effect. */
  error: probability,
  /** HTTP 500 with a report, although it was done; mutations only. */
  lateError: probability,
  /** HTTP 200 without JSON, after the effect. */
  garbage: probability,
  /** A satellite fails to deploy what the controller has noted. */
  deployFails: probability,
  snapshotFails: probability,
  rollbackFails: probability,
  cloneNodeLost: probability,
});

/** See {@link faultPlanSchema}. */
export type FaultPlan = z.input<typeof faultPlanSchema>;

/** Decides what goes wrong: ordered faults first, then those of the plan. */
export class Faults {
  readonly #orders = new Orders<Fault>();
  /** Halfway failures of the requests that are being carried out. */
  #halfway: Fault[] = [];
  #plan: z.output<typeof faultPlanSchema>;
  readonly #random: () => number;

  constructor(plan: FaultPlan, seed: number) {
    this.#plan = faultPlanSchema.parse(plan);
    this.#random = randomFrom(seed);
  }

  /** Orders a fault. */
  add(order: FaultOrder): void {
    this.#orders.add(faultSchema.parse(order));
  }

  /** Changes the plan; the random numbers go on. */
  plan(plan: FaultPlan): void {
    this.#plan = faultPlanSchema.parse(plan);
  }

  /** Forgets what was ordered and still waits. */
  clear(): void {
    this.#orders.clear();
    this.#halfway = [];
  }

  /** What was ordered and did not happen yet. */
  get pending(): readonly Fault[] {
    return [...this.#orders.pending, ...this.#halfway];
  }

  /** The faults of a request that has just come. */
  of(request: string, is: { mutation: boolean }): Fault[] {
    // As many numbers for every request, so that what hits one does not depend on what hit those before.
    const [late, long, which] = [this.#random(), this.#random(), this.#random()];
    const hit = this.#orders.take(request);
    this.#halfway.push(...hit.filter(({ kind }) => partial.includes(kind)));
    if (hit.length > 0) return hit;
    const plan = this.#plan;
    if (late < plan.delay)
      hit.push(faultSchema.parse({ kind: "delay", ms: Math.ceil(long * plan.maxDelayMs) }));
    const of = (request_: string, share: number) => (request === request_ ? share : 0);
    const places = ["spawn", "makeAvailable", "resourceAutoplace", "restoreResource", "resourceCreate"];
    const choices: readonly (readonly [FaultKind, number])[] = [
      ["reset-before", plan.resetBefore],
      ["reset-after", plan.resetAfter],
      ["error", plan.error],
      ["late-error", is.mutation ? plan.lateError : 0],
      ["garbage", plan.garbage],
      ["deploy-fails", places.includes(request) ? plan.deployFails : 0],
      ["snapshot-fails", of("snapshotCreate", plan.snapshotFails)],
      ["rollback-fails", of("snapshotRollback", plan.rollbackFails)],
      ["clone-node-lost", of("cloneStart", plan.cloneNodeLost)],
    ];
    let sum = 0;
    for (const [kind, share] of choices) {
      sum += share;
      if (which >= sum) continue;
      const fault = faultSchema.parse({ kind });
      hit.push(fault);
      if (partial.includes(kind)) this.#halfway.push(fault);
      break;
    }
    return hit;
  }

  /** Takes a halfway failure that waits for this step. */
  take(what: PartialFailure, node: string | undefined): boolean {
    const at = this.#halfway.findIndex(
      (fault) => fault.kind === what && (fault.node === undefined || fault.node === node),
    );
    if (at >= 0) this.#halfway.splice(at, 1);
    return at >= 0;
  }
}
