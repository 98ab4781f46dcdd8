// SPDX-License-Identifier: AGPL-3.0-or-later

/**
 * Exclusive locks by name within this process, first come first served. A caller that needs several names takes
 * them in sorted order, so that two callers can never wait for each other.
 */
export class KeyedLocks {
  readonly #tails = new Map<string, Promise<void>>();

  /**
   * Waits for all `keys`, then returns the function that releases them. Rejects with the signal's reason when
   * `signal` aborts first; the place in the queue is given up then.
   */
  async acquire(keys: readonly string[], signal: AbortSignal): Promise<() => void> {
    const releases: (() => void)[] = [];
    const releaseAll = () => {
      for (const release of releases.splice(0).reverse()) release();
    };
    try {
      for (const key of [...new Set(keys)].sort()) releases.push(await this.#acquireOne(key, signal));
    } catch (error) {
      releaseAll();
      throw error;
    }
    return releaseAll;
  }

  /** Number of names that are locked or waited for. */
  get size(): number {
    return this.#tails.size;
  }

  async #acquireOne(key: string, signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    const before = this.#tails.get(key) ?? Promise.resolve();
    const gate = deferred();
    const tail = before.then(() => gate.promise);
    this.#tails.set(key, tail);
    const release = () => {
      gate.resolve();
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    };
    let onAbort: (() => void) | undefined;
    const aborted = new Promise<never>((_, reject) => {
      onAbort = () => reject(signal.reason);
      signal.addEventListener("abort", onAbort, { once: true });
    });
    try {
      await Promise.race([before, aborted]);
    } catch (error) {
      // Those behind us wait for `tail`, which waits for `before`: opening our gate early keeps the order.
      gate.resolve();
      void tail.then(() => {
        if (this.#tails.get(key) === tail) this.#tails.delete(key);
      });
      throw error;
    } finally {
      if (onAbort) signal.removeEventListener("abort", onAbort);
    }
    return release;
  }
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve: () => void = () => {};
  const promise = new Promise<void>((r) => {
    resolve = r;
  });
  return { promise, resolve };
}
