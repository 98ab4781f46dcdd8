// SPDX-License-Identifier: AGPL-3.0-or-later

/** Work for later, which can be hurried along and is forgotten at the end. */
export class Timers {
  readonly #waiting = new Map<NodeJS.Timeout, () => Promise<void>>();
  readonly #running = new Set<Promise<void>>();

  /** Does something after a time; `body` deals with its own failures. */
  after(ms: number, body: () => Promise<void>): void {
    const timer = setTimeout(() => {
      this.#waiting.delete(timer);
      this.#run(body);
    }, ms);
    this.#waiting.set(timer, body);
  }

  /** Does at once what waits; resolves when it is done, and what had begun before. */
  async hurry(): Promise<void> {
    const bodies = [...this.#waiting.values()];
    this.clear();
    for (const body of bodies) this.#run(body);
    await Promise.all(this.#running);
  }

  /** Forgets what waits. */
  clear(): void {
    for (const timer of this.#waiting.keys()) clearTimeout(timer);
    this.#waiting.clear();
  }

  #run(body: () => Promise<void>): void {
    const done = body().finally(() => this.#running.delete(done));
    this.#running.add(done);
  }
}
