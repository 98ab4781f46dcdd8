// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Logger } from "./log.js";

/** What every verb gets: when to stop, and where to say what happened. */
export interface Context {
  /** Aborts when the deadline is over, the client is gone or the service stops. */
  readonly signal: AbortSignal;
  readonly log: Logger;
}

/** The name under which this node is known to arrays and in leftovers on shared storage. */
export interface Host {
  readonly name: string;
}
