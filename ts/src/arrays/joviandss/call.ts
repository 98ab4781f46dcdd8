// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Call } from "../../common/http/call.js";
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

/** What to send. Its path is below `/api/v4/`: the array was never asked with encoded names. */
export interface JovianCall extends Call {
  /** What a query must give: not null, or a list in one of its shapes. */
  readonly gives?: "value" | "list";
}

/** Whether data can be the answer to a call: under load the array answers queries with null, or with another shape. */
export function acceptableFor({ method, gives = "value" }: JovianCall): (data: unknown) => boolean {
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
