// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";

/** The members that every ordered fault has. */
export const orderMembers = {
  /** Name of the request, such as `VolumeCreate`; every request when absent. */
  on: z.string().optional(),
  /** So many matching requests are spared first. */
  skip: z.number().int().min(0).default(0),
  /** So many matching requests are hit. */
  count: z.number().int().min(1).default(1),
  /** Milliseconds of a delay. */
  ms: z.number().int().min(0).default(100),
};

/** Which requests a fault hits, see {@link orderMembers}. */
export interface Order {
  readonly on?: string | undefined;
  skip: number;
  count: number;
}

/** Faults that were ordered, each for requests to come. */
export class Orders<F extends Order> {
  #waiting: F[] = [];

  add(order: F): void {
    this.#waiting.push(order);
  }

  /** Forgets what still waits. */
  clear(): void {
    this.#waiting = [];
  }

  /** What did not happen yet. */
  get pending(): readonly F[] {
    return this.#waiting;
  }

  /** Takes those for a request that has just come; `isFor` says more about which. */
  take(request: string, isFor: (order: F) => boolean = () => true): F[] {
    const hit: F[] = [];
    for (const order of this.#waiting) {
      if ((order.on !== undefined && order.on !== request) || !isFor(order)) continue;
      if (order.skip > 0) order.skip--;
      else {
        order.count--;
        hit.push(order);
      }
    }
    this.#waiting = this.#waiting.filter(({ count }) => count > 0);
    return hit;
  }
}
