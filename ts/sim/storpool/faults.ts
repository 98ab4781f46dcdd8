// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";
import { Orders, orderMembers } from "../common/orders.js";
import { randomFrom } from "../common/random.js";

/**
 * What can go wrong with one request. Without effect: `transient` (the error the service marks so), `error` (any
 * other, see `name`), `reset-before`, `bad-gateway` (HTTP 502 with text). With its effect: `reset-after`, `cut`
 * (half of the answer), `silent` (no answer, the connection stays). `delay` only takes `ms` milliseconds more.
 */
export const faultKinds = [
  "delay",
  "transient",
  "error",
  "reset-before",
  "bad-gateway",
  "reset-after",
  "cut",
  "silent",
] as const;

/** See {@link faultKinds}. */
export type FaultKind = (typeof faultKinds)[number];

/** A fault for requests to come. */
export const faultSchema = z.strictObject({
  kind: z.enum(faultKinds),
  ...orderMembers,
  /** Name of an `error`. */
  name: z.string().default("internal"),
  /** Text of an `error`. */
  descr: z.string().default("injected"),
});

/** See {@link faultSchema}. */
export type FaultOrder = z.input<typeof faultSchema>;

/** One that was ordered, with all its members. */
export type Fault = z.output<typeof faultSchema>;

/** Probabilities (0 to 1) of faults that come by themselves, the same ones for the same seed and requests. */
export const faultPlanSchema = z.strictObject({
  delay: z.number().min(0).max(1).default(0),
  /** Longest delay in milliseconds. */
  maxDelayMs: z.number().int().min(1).default(100),
  transient: z.number().min(0).max(1).default(0),
  resetBefore: z.number().min(0).max(1).default(0),
  resetAfter: z.number().min(0).max(1).default(0),
});

/** See {@link faultPlanSchema}. */
export type FaultPlan = z.input<typeof faultPlanSchema>;

/** Decides what goes wrong: ordered faults first, then those of the plan. */
export class Faults {
  readonly #orders = new Orders<Fault>();
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
  }

  /** What was ordered and did not happen yet. */
  get pending(): readonly Fault[] {
    return this.#orders.pending;
  }

  /** The faults of a request that has just come. */
  of(request: string): Fault[] {
    const hit = this.#orders.take(request);
    // As many numbers for every request, so that what hits one does not depend on what hit those before.
    const [late, long, which] = [this.#random(), this.#random(), this.#random()];
    if (hit.length > 0) return hit;
    const { delay, maxDelayMs, transient, resetBefore, resetAfter } = this.#plan;
    if (late < delay) hit.push(faultSchema.parse({ kind: "delay", ms: Math.ceil(long * maxDelayMs) }));
    if (which < transient) hit.push(faultSchema.parse({ kind: "transient" }));
    else if (which < transient + resetBefore) hit.push(faultSchema.parse({ kind: "reset-before" }));
    else if (which < transient + resetBefore + resetAfter)
      hit.push(faultSchema.parse({ kind: "reset-after" }));
    return hit;
  }
}
