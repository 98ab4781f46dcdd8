// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";

/** The longest time for a change with all its requests, in milliseconds. */
const changeMs = 300_000;

/**
 * A creation is not torn apart when its caller goes away: the controller would go on with it, and whether there is something
 * now would be unknown. Whoever called takes it back.
 */
export function steady(ctx: Context): Context {
  ctx.signal.throwIfAborted();
  return { ...ctx, signal: AbortSignal.timeout(changeMs) };
}
