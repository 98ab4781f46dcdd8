// SPDX-License-Identifier: AGPL-3.0-or-later

/** What every ordered fault has: which requests it hits. */
export interface Order {
  /** Name of the request; every request when absent. */
  readonly on?: string | undefined;
  /** So many matching requests are spared first. */
  skip: number;
  /** So many matching requests are hit. */
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

  /** Takes those for a request that has just come. */
  take(request: string): F[] {
    const hit: F[] = [];
    for (const order of this.#waiting) {
      if (order.on !== undefined && order.on !== request) continue;
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
