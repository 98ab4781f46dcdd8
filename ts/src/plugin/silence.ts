// SPDX-License-Identifier: AGPL-3.0-or-later

/** How long an array that was silent is not asked again by what PVE does next, in milliseconds. */
const rememberedMs = 5_000;

/**
 * That an array did not answer a moment ago. PVE checks the connection, activates the storage and asks for its status, one
 * after the other, and one storage after the other, and then goes on with what it wanted: to wait for silence once is
 * enough.
 */
export class Silence {
  #last: { readonly error: unknown; readonly until: number } | undefined;

  /** False when it is known already. */
  note(error: unknown): boolean {
    if (this.#last?.error === error) return false;
    this.#last = { error, until: performance.now() + rememberedMs };
    return true;
  }

  /** The array has answered. */
  end(): void {
    this.#last = undefined;
  }

  /** Throws the error that told of it. */
  throwIfKnown(): void {
    if (this.#last && performance.now() < this.#last.until) throw this.#last.error;
  }
}
