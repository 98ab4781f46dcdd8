// SPDX-License-Identifier: AGPL-3.0-or-later
import type * as z from "zod";
import { type Order, Orders } from "./orders.js";
import { randomFrom } from "./random.js";

/** An order, at least as much of it as is common to all simulators. */
export type AnyFault = Order & { readonly kind: string; readonly ms: number };

/** A schema of orders: everything has a default but the kind. */
export type OrderSchema = z.ZodType<AnyFault>;

/** Decides what goes wrong with requests: what was ordered, and what a plan's probabilities say for a seed. */
export abstract class SeededFaults<O extends OrderSchema, P extends z.ZodType> {
  protected readonly orders = new Orders<z.output<O>>();
  protected probabilities: z.output<P>;
  /** The next number in [0, 1): take as many for every request, so that what hits one does not depend on others. */
  protected readonly random: () => number;
  readonly #order: O;
  readonly #plan: P;

  constructor(schemas: { readonly order: O; readonly plan: P }, plan: z.input<P>, seed: number) {
    this.#order = schemas.order;
    this.#plan = schemas.plan;
    this.probabilities = this.#plan.parse(plan);
    this.random = randomFrom(seed);
  }

  /** Orders a fault. */
  add(order: z.input<O>): void {
    this.orders.add(this.#order.parse(order));
  }

  /** Changes the plan; the random numbers go on. */
  plan(plan: z.input<P>): void {
    this.probabilities = this.#plan.parse(plan);
  }

  /** Forgets what was ordered and still waits. */
  clear(): void {
    this.orders.clear();
  }

  /** What was ordered and did not happen yet. */
  get pending(): readonly z.output<O>[] {
    return this.orders.pending;
  }

  /** One that comes by itself. */
  protected made(kind: AnyFault["kind"], ms?: number): z.output<O> {
    return this.#order.parse({ kind, ms });
  }

  /** The delay that a plan asks for: by one random number whether, by another how long. */
  protected delays(
    { delay, maxDelayMs }: { readonly delay: number; readonly maxDelayMs: number },
    late: number,
    long: number,
  ): z.output<O>[] {
    return late < delay ? [this.made("delay", Math.ceil(long * maxDelayMs))] : [];
  }
}

/** The kind into whose share a random number falls, if any. */
export function chosen<K extends string>(
  number: number,
  shares: readonly (readonly [kind: K, share: number])[],
): K | undefined {
  let sum = 0;
  for (const [kind, share] of shares) {
    sum += share;
    if (number < sum) return kind;
  }
  return undefined;
}
