// SPDX-License-Identifier: AGPL-3.0-or-later

/** Work for later, which can be hurried along and is forgotten at the end. */
export class Timers {
  readonly #waiting = new Map<NodeJS.Timeout, () => Promise<void>>();

  /** Does something after a time; `body` deals with its own failures. */
  after(ms: number, body: () => Promise<void>): void {
    const timer = setTimeout(() => {
      this.#waiting.delete(timer);
      void body();
    }, ms);
    this.#waiting.set(timer, body);
  }

  /** Does at once what waits. */
  async hurry(): Promise<void> {
    const bodies = [...this.#waiting.values()];
    this.clear();
    await Promise.all(bodies.map((body) => body()));
  }

  /** Forgets what waits. */
  clear(): void {
    for (const timer of this.#waiting.keys()) clearTimeout(timer);
    this.#waiting.clear();
  }
}
