// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import type { TransportLimits } from "../../common/http/limits.js";
import type { Secret } from "../../common/secret.js";

/** Where the array is, and who asks. */
export interface Endpoint {
  /** IP addresses, tried in this order. */
  readonly addresses: readonly string[];
  readonly port: number;
  readonly user: string;
  readonly password: Secret;
  /** Accept only a certificate that is trusted. */
  readonly verify: boolean;
  /** Certificates to trust, in PEM; those that Node brings along when absent. */
  readonly ca?: string;
  /** When absent `v4`, or `v3` for an array that does not know that. */
  readonly version?: "v3" | "v4";
}

/** A failover takes one to two minutes, and all addresses are silent then; most callers have less time. */
export const defaultLimits: TransportLimits = {
  connectMs: 3_000,
  queryMs: 30_000,
  commandMs: 60_000,
  probeMs: 3_400,
  querySilenceMs: 5_000,
  probeSilenceMs: 1_000,
  pausesMs: [1_000, 2_000, 4_000, ...Array<number>(14).fill(8_000)],
};

/** What to send; `what` names operation and object in errors. */
export interface Call {
  readonly what: string;
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** Behind `/api/v4/`, as it goes over the wire: the array was never asked with encoded names. */
  readonly path: string;
  readonly body?: unknown;
  /**
   * `repeatable`: may be sent again after a lost reply. `once`: may not, unless `landed` says that it has not worked. All
   * are repeated when nothing was sent.
   */
  readonly repeat: "repeatable" | "once";
  /** Asks whether a change that got no reply has worked. */
  landed?(ctx: Context): Promise<boolean>;
  /** What a query must give: not null, or a list in one of its shapes. */
  readonly gives?: "value" | "list";
  /** Milliseconds for one attempt, instead of the usual ones: for what may take long. */
  readonly limitMs?: number;
  /** Asks for the state of the array: answered soon, or with an error, and never behind other queries. */
  readonly probe?: boolean;
}

/** Whether data can be the answer to a call: under load the array answers queries with null, or with another shape. */
export function acceptableFor({ method, gives = "value" }: Call): (data: unknown) => boolean {
  if (method !== "GET") return () => true;
  if (gives === "list") return (data) => entriesOf(data) !== undefined;
  return (data) => data !== null && data !== undefined;
}

/** The rows of a list with or without pages; undefined for anything else. */
export function entriesOf(data: unknown): readonly unknown[] | undefined {
  if (Array.isArray(data)) return data;
  const { entries } = (data ?? {}) as { entries?: unknown };
  return Array.isArray(entries) ? entries : undefined;
}
