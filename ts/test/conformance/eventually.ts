// SPDX-License-Identifier: AGPL-3.0-or-later
import { setTimeout as sleep } from "node:timers/promises";

/** How long the service may take to notice that a client is gone and to take back what it began, in milliseconds. */
const patienceMs = 20_000;

/** Asks `value` until it is `wanted`, then or at the end of our patience returns the last answer. */
export async function eventually<T>(value: () => Promise<T>, wanted: (value: T) => boolean): Promise<T> {
  const end = performance.now() + patienceMs;
  for (;;) {
    const last = await value();
    if (wanted(last) || performance.now() > end) return last;
    await sleep(20);
  }
}
