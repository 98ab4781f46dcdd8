// SPDX-License-Identifier: AGPL-3.0-or-later
import { setTimeout as sleep } from "node:timers/promises";

/**
 * Asks `done` until it says true, at growing intervals, `limitMs` in all. Says whether it became true.
 * Rejects with the signal's reason when that aborts first.
 */
export async function waitUntil(
  done: () => Promise<boolean>,
  limitMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  const end = performance.now() + limitMs;
  for (let pause = 10; ; pause = Math.min(pause * 2, 250)) {
    if (await done()) return true;
    const left = end - performance.now();
    if (left <= 0) return false;
    await sleep(Math.min(pause, left), undefined, { signal });
  }
}
