// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Logger } from "./log.js";

/**
 * A stack of undo steps: each step that succeeded pushes how to take it back. `run` takes everything back in
 * reverse order, `keep` forgets the steps once the whole operation succeeded.
 */
export class Revert {
  readonly #steps: { what: string; undo: () => Promise<unknown> }[] = [];

  push(what: string, undo: () => Promise<unknown>): void {
    this.#steps.push({ what, undo });
  }

  keep(): void {
    this.#steps.length = 0;
  }

  /** Runs all steps; a failing one is logged and does not keep the others from running. */
  async run(log: Logger): Promise<void> {
    for (const step of this.#steps.splice(0).reverse()) {
      try {
        await step.undo();
      } catch (error) {
        log.warn("could not undo", { step: step.what, error });
      }
    }
  }
}
