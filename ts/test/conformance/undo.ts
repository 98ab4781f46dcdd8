// SPDX-License-Identifier: AGPL-3.0-or-later

/** What a test has made, to be removed last in, first out. */
export class Undo {
  #things: { key: string; remove: () => Promise<unknown> }[] = [];

  add(key: string, remove: () => Promise<unknown>): void {
    this.#things.push({ key, remove });
  }

  /** The test removed it itself. */
  forget(key: string): void {
    this.#things = this.#things.filter((thing) => thing.key !== key);
  }

  /** The keys that begin with `prefix`. */
  keys(prefix: string): string[] {
    return this.#things.map(({ key }) => key).filter((key) => key.startsWith(prefix));
  }

  /** Removes everything; a failure does not keep the rest from being removed. Returns the failures. */
  async run(): Promise<string[]> {
    const failures: string[] = [];
    for (const { key, remove } of this.#things.splice(0).reverse()) {
      try {
        await remove();
      } catch (error) {
        failures.push(`remove ${key}: ${(error as { code?: string }).code}: ${(error as Error).message}`);
      }
    }
    return failures;
  }
}
