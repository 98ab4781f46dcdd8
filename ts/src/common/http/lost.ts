// SPDX-License-Identifier: AGPL-3.0-or-later
import { BlockioError, codeOf, fail } from "../errors.js";

/**
 * A changing request was sent and its reply never came: it may have been carried out or not. Whoever repeats it has to
 * look first.
 */
export class LostReply extends BlockioError {
  readonly lost = true;
}

/**
 * Somebody answered, but not as the array does: a proxy in between, for instance. A query has learned nothing by it; a
 * command may have been carried out or not, which has to be asked in another way.
 */
export class Unreadable extends LostReply {
  constructor(
    message: string,
    /** The same request would get the same answer. */
    readonly final: boolean,
  ) {
    super("unreachable", message);
  }
}

/** True for a {@link LostReply}. */
export function isLostReply(error: unknown): error is LostReply {
  return error instanceof LostReply;
}

/** The caller has no time left; the last error says what was in the way. `lost`: a change may have been made. */
export function interrupted(last: BlockioError, lost: boolean, signal: AbortSignal): BlockioError {
  const reason: unknown = signal.reason;
  const code = codeOf(reason) === "internal" ? "timeout" : codeOf(reason);
  const why = reason instanceof Error ? reason.message : "no time left";
  const message = `${last.message} (gave up: ${why})`;
  return lost ? new LostReply(code, message) : fail(code, message);
}
