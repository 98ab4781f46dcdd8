// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";
import { chosen, SeededFaults } from "../common/faults.js";
import { orderMembers } from "../common/orders.js";

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
export class Faults extends SeededFaults<typeof faultSchema, typeof faultPlanSchema> {
  constructor(plan: FaultPlan, seed: number) {
    super({ order: faultSchema, plan: faultPlanSchema }, plan, seed);
  }

  /** The faults of a request that has just come. */
  of(request: string): Fault[] {
    const hit = this.orders.take(request);
    const [late, long, which] = [this.random(), this.random(), this.random()];
    if (hit.length > 0) return hit;
    const { transient, resetBefore, resetAfter } = this.probabilities;
    hit.push(...this.delays(this.probabilities, late, long));
    const kind = chosen<FaultKind>(which, [
      ["transient", transient],
      ["reset-before", resetBefore],
      ["reset-after", resetAfter],
    ]);
    if (kind) hit.push(this.made(kind));
    return hit;
  }
}
