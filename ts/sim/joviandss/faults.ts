// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";
import { chosen, SeededFaults } from "../common/faults.js";
import { type Order, orderMembers } from "../common/orders.js";

/**
 * What can go wrong with one request. Without effect: `reset-before`, `hang` (no answer, the connection stays), `clash`
 * (`CfgParserError`), `scst`, `os`, `unauthorized`, `bad-gateway` (HTTP 502 with text), `error` (see `class`).
 * With its effect: `reset-after`, `cut` (half of the answer), `silent` (no answer), `garbage` (HTTP 200 without JSON),
 * `null-data` (HTTP 200 with null), `clash-after`. Lists only: `partial` (the last rows are missing), `bare` (an array),
 * `results` (the wrong number). `empty-lun`: what is attached has capacity 0. `delay` takes `ms` milliseconds more.
 */
export const faultKinds = [
  "delay",
  "reset-before",
  "hang",
  "clash",
  "scst",
  "os",
  "unauthorized",
  "bad-gateway",
  "error",
  "reset-after",
  "cut",
  "silent",
  "garbage",
  "null-data",
  "clash-after",
  "partial",
  "bare",
  "results",
  "empty-lun",
] as const;

/** See {@link faultKinds}. */
export type FaultKind = (typeof faultKinds)[number];

/** A fault for requests to come. */
export const faultSchema = z.strictObject({
  kind: z.enum(faultKinds),
  ...orderMembers,
  /** Only requests that come in at this address. */
  address: z.string().optional(),
  /** Of an `error`. */
  status: z.number().int().min(400).max(599).default(500),
  class: z.string().optional(),
  message: z.string().default("injected"),
  errno: z.number().int().optional(),
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
  /** HTTP 200 without JSON, after the effect. */
  garbage: probability,
  /** Null instead of data; GET only. */
  nullData: probability,
  /** `CfgParserError`, with and without effect; requests that edit targets only. */
  clash: probability,
  /** Lists without their last rows. */
  partial: probability,
});

/** See {@link faultPlanSchema}. */
export type FaultPlan = z.input<typeof faultPlanSchema>;

/** Decides what goes wrong: ordered faults first, then those of the plan. */
export class Faults extends SeededFaults<typeof faultSchema, typeof faultPlanSchema> {
  constructor(plan: FaultPlan, seed: number) {
    super({ order: faultSchema, plan: faultPlanSchema }, plan, seed);
  }

  /** The faults of a request that has just come. */
  of(request: string, address: string, is: { query: boolean; targets: boolean }): Fault[] {
    const [late, long, which, half] = [this.random(), this.random(), this.random(), this.random()];
    const hit = this.orders.take(request, (order) => (order.address ?? address) === address);
    if (hit.length > 0) return hit;
    const { resetBefore, resetAfter, garbage, nullData, clash, partial } = this.probabilities;
    hit.push(...this.delays(this.probabilities, late, long));
    const kind = chosen<FaultKind>(which, [
      ["reset-before", resetBefore],
      ["reset-after", resetAfter],
      ["garbage", garbage],
      ["null-data", is.query ? nullData : 0],
      [half < 0.5 ? "clash" : "clash-after", is.targets ? clash : 0],
      ["partial", is.query ? partial : 0],
    ]);
    if (kind) hit.push(this.made(kind));
    return hit;
  }
}
