// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Capacity } from "../arrays/contract.js";
import type { Context } from "../common/context.js";
import type { Logger } from "../common/log.js";
import type { Storage } from "./storage.js";

/**
 * PVE's `check_connection`. As for activation: what that would make first, such as a directory, is no reason to be offline.
 */
export async function checkConnection(storage: Storage, ctx: Context): Promise<void> {
  await storage.driver.check(ctx);
  storage.silence.end();
}

/** PVE's `activate_storage`, which follows `check_connection`. */
export async function activateStorage(storage: Storage, ctx: Context): Promise<void> {
  storage.silence.throwIfKnown();
  await checkConnection(storage, ctx);
}

/** What PVE's `status` tells. */
export async function storageCapacity(storage: Storage, ctx: Context): Promise<Capacity> {
  storage.silence.throwIfKnown();
  return storage.driver.capacity(ctx);
}

/**
 * The two above after an `error` of an array that did not answer: fine where volumes attach without it, or no guest of the
 * node could start; what needs the array says so itself. Throws `error` elsewhere.
 */
export function goOnInSilence({ type, silence }: Storage, error: unknown, log: Logger): void {
  if (!type.attachesWithoutArray) throw error;
  if (silence.note(error)) log.warn("the array does not answer; what is on this node can be used", { error });
}
