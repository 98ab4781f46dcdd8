// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";
import { chosen, SeededFaults } from "../common/faults.js";
import { type Order, orderMembers } from "../common/orders.js";
import type { HalfwayFailure } from "./world.js";

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

const halfway: readonly string[] = [
  "deploy-fails",
  "snapshot-fails",
  "rollback-fails",
  "clone-node-lost",
] satisfies readonly HalfwayFailure[];
/** Requests that put replicas on nodes. */
const placing = ["spawn", "makeAvailable", "resourceAutoplace", "restoreResource", "resourceCreate"];

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
export class Faults extends SeededFaults<typeof faultSchema, typeof faultPlanSchema> {
  /** Halfway failures of the requests that are being carried out. */
  #halfway: Fault[] = [];

  constructor(plan: FaultPlan, seed: number) {
    super({ order: faultSchema, plan: faultPlanSchema }, plan, seed);
  }

  override clear(): void {
    super.clear();
    this.#halfway = [];
  }

  override get pending(): readonly Fault[] {
    return [...super.pending, ...this.#halfway];
  }

  /** The faults of a request that has just come. */
  of(request: string, is: { mutation: boolean }): Fault[] {
    const [late, long, which] = [this.random(), this.random(), this.random()];
    const hit = this.orders.take(request);
    if (hit.length === 0) hit.push(...this.#byPlan(request, is.mutation, { late, long, which }));
    this.#halfway.push(...hit.filter(({ kind }) => halfway.includes(kind)));
    return hit;
  }

  #byPlan(
    request: string,
    mutation: boolean,
    { late, long, which }: { late: number; long: number; which: number },
  ): Fault[] {
    const plan = this.probabilities;
    const kind = chosen<FaultKind>(which, [
      ["reset-before", plan.resetBefore],
      ["reset-after", plan.resetAfter],
      ["error", plan.error],
      ["late-error", mutation ? plan.lateError : 0],
      ["garbage", plan.garbage],
      ["deploy-fails", placing.includes(request) ? plan.deployFails : 0],
      ["snapshot-fails", request === "snapshotCreate" ? plan.snapshotFails : 0],
      ["rollback-fails", request === "snapshotRollback" ? plan.rollbackFails : 0],
      ["clone-node-lost", request === "cloneStart" ? plan.cloneNodeLost : 0],
    ]);
    return [...this.delays(plan, late, long), ...(kind ? [this.made(kind)] : [])];
  }

  /** Takes a halfway failure that waits for this step. */
  take(what: HalfwayFailure, node: string | undefined): boolean {
    const at = this.#halfway.findIndex(
      (fault) => fault.kind === what && (fault.node === undefined || fault.node === node),
    );
    if (at >= 0) this.#halfway.splice(at, 1);
    return at >= 0;
  }
}
