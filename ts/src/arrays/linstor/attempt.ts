// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Dispatcher } from "undici";
import { exchange, type NoReply, type WireRequest } from "../../common/http/exchange.js";
import { type Entry, entriesOf } from "./answer.js";
import { parseReply } from "./return-code.js";

/** What became of one attempt. */
export type Outcome =
  | { readonly kind: "data"; readonly data: unknown }
  /** LINSTOR answered with an error. */
  | { readonly kind: "error"; readonly status: number; readonly entries: readonly Entry[] }
  /** Somebody answered, but not as LINSTOR does. */
  | { readonly kind: "garbled"; readonly reason: string }
  /** The certificate is not trusted: asking again will not help. */
  | { readonly kind: "untrusted"; readonly reason: string }
  | NoReply;

/** Reasons that are found in the certificate. */
const certificateProblem =
  /^(?:DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_(?:GET|VERIFY|DECRYPT|DECODE)\w*|CERT_\w+|INVALID_(?:CA|PURPOSE)|HOSTNAME_MISMATCH|ERR_TLS_CERT_\w+)$/;

/** Sends one request once. Never throws. */
export async function attempt(
  dispatcher: Dispatcher,
  request: WireRequest,
  query: boolean,
  signal: AbortSignal,
): Promise<Outcome> {
  const result = await exchange(dispatcher, request, signal);
  if (result.kind === "reply") return judge(result.status, result.text, query);
  if (result.kind === "refused" && certificateProblem.test(result.reason))
    return { kind: "untrusted", reason: result.reason };
  return result;
}

/** Changes are answered with a list of entries, which can begin with successes and end in an error. */
function judge(status: number, text: string, query: boolean): Outcome {
  let body: unknown;
  try {
    body = parseReply(text);
  } catch {
    if (status === 401 || status === 403) return { kind: "error", status, entries: [] };
    return { kind: "garbled", reason: `HTTP status ${status} without JSON` };
  }
  const entries = entriesOf(body);
  const failed = entries?.some(({ severity }) => severity === "error") ?? false;
  if (entries && failed) return { kind: "error", status, entries };
  if (status === 401 || status === 403) return { kind: "error", status, entries: [] };
  if (status < 200 || status > 299) return { kind: "garbled", reason: `HTTP status ${status}` };
  if (query) return { kind: "data", data: body };
  // The reply to a clone has its entries inside.
  if (entries) return { kind: "data", data: entries };
  return typeof body === "object" && body !== null && !Array.isArray(body)
    ? { kind: "data", data: body }
    : { kind: "garbled", reason: "a reply without entries" };
}
