// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import type { TransportLimits } from "../../common/http/limits.js";
import type { Secret } from "../../common/secret.js";

/** Where LINSTOR's controllers are, and who asks. */
export interface Endpoint {
  /** Origins such as `https://10.0.0.1:3371`, in the order in which they are tried. */
  readonly controllers: readonly string[];
  /** Value of the `authorization` header. */
  readonly authorization?: Secret;
  /** TLS: certificates to trust, and those to show; in PEM. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: Secret;
}

/** A controller that moves to another node needs half a minute; most callers have less time. */
export const defaultLimits: TransportLimits = {
  connectMs: 3_000,
  queryMs: 30_000,
  // Changes are answered when the satellites are done with them.
  commandMs: 300_000,
  probeMs: 3_400,
  querySilenceMs: 5_000,
  probeSilenceMs: 1_000,
  pausesMs: [500, 1_000, 2_000, 4_000, ...Array<number>(12).fill(8_000)],
};

/** What to send; `what` names operation and object in errors. */
export interface Call {
  readonly what: string;
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** Below `/v1/`, encoded, with the query string. */
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
  /** Asks for the state: answered soon, or with an error, and never behind other queries. */
  readonly probe?: boolean;
}

/** True for what changes nothing. */
export function isQuery({ method, query }: Call): boolean {
  return method === "GET" || query === true;
}
