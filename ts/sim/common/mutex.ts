// SPDX-License-Identifier: AGPL-3.0-or-later

/** Runs one body after the other, in the order of the calls; a failed one does not stop the next. */
export class Mutex {
  #last: Promise<unknown> = Promise.resolve();

  run<T>(body: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(body);
    this.#last = mine.catch(() => undefined);
    return mine;
  }
}
