// SPDX-License-Identifier: AGPL-3.0-or-later
import { setTimeout as sleep } from "node:timers/promises";

/** Longer than any machine takes that works at all. */
const limitMs = 20_000;

/** Waits until something is so; false when it does not become so. */
export async function eventually(done: () => boolean | Promise<boolean>): Promise<boolean> {
  for (const end = performance.now() + limitMs; performance.now() < end; await sleep(5))
    if (await done()) return true;
  return false;
}
