// SPDX-License-Identifier: AGPL-3.0-or-later
import { setTimeout as sleep } from "node:timers/promises";
import { afterwards, type Context } from "../../common/context.js";
import { isLostReply } from "../../common/http/lost.js";
import type { Session } from "./session.js";

/** Pauses between attempts to take something back, in milliseconds; the last one is repeated. */
const pausesMs = [0, 500, 1_000, 2_000, 4_000, 8_000];

/**
 * Takes back what a creation that failed with `error` may have left, and gives the error to be thrown. `discard` says
 * whether there was something. After a lost reply the controller may still be at it: then it is looked for as long as a
 * request may last there, without keeping the caller waiting for longer than the patience is.
 */
export async function undo(
  session: Session,
  ctx: Context,
  error: unknown,
  what: string,
  discard: (ctx: Context) => Promise<boolean>,
): Promise<unknown> {
  const lost = isLostReply(error);
  const { undoMs } = session.patience;
  const limitMs = lost ? Math.max(session.client.commandMs, undoMs) : undoMs;
  const later = afterwards(ctx, limitMs);
  const work = (async () => {
    for (let round = 0; !later.signal.aborted; round++) {
      try {
        await sleep(pausesMs[Math.min(round, pausesMs.length - 1)], undefined, {
          signal: later.signal,
          ref: false,
        });
        const gone = await discard(later);
        if (gone || !lost) return;
      } catch (cause) {
        if (later.signal.aborted) break;
        ctx.log.debug(`could not take back ${what} yet`, { error: cause });
      }
    }
    if (!lost) ctx.log.warn(`${what} may be left; it goes when its name is wanted again`, { error });
  })();
  // One look is enough when LINSTOR has said no; a lost request is followed in the background.
  const background = lost ? sleep(Math.min(undoMs, pausesMs[2] ?? 0), undefined, { ref: false }) : work;
  await Promise.race([work, background]);
  return error;
}
