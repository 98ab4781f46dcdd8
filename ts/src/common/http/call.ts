// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../context.js";
import type { WireRequest } from "./exchange.js";

/** What to send; `what` names operation and object in errors. */
export interface Call {
  readonly what: string;
  readonly method: WireRequest["method"];
  /** Below the API's prefix, as it goes over the wire, with the query string. */
  readonly path: string;
  readonly body?: unknown;
  /**
   * `repeatable`: may be sent again after a lost reply. `once`: may not, unless `landed` says that it has not worked. All
   * are repeated when nothing was sent.
   */
  readonly repeat: "repeatable" | "once";
  /** Asks whether a change that got no reply has worked. */
  landed?(ctx: Context): Promise<boolean>;
  /** Changes nothing, although it is no GET. */
  readonly query?: boolean;
  /** Milliseconds for one attempt, instead of the usual ones: for what may take long. */
  readonly limitMs?: number;
  /** Asks for the state of the array: answered soon, or with an error, and never behind other queries. */
  readonly probe?: boolean;
}

/** True for what changes nothing. */
export function isQuery({ method, query }: Call): boolean {
  return method === "GET" || query === true;
}
