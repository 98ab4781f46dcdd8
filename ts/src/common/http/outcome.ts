// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Dispatcher } from "undici";
import { exchange, type NoReply, type Reply, type WireRequest } from "./exchange.js";

/** What an array's own reply says. */
export type Judgement<Said> =
  | { readonly kind: "data"; readonly data: unknown }
  /** The array answered with an error. */
  | { readonly kind: "error"; readonly said: Said }
  /** Somebody answered, but not in the array's way, or with nothing where something must be. */
  | { readonly kind: "garbled"; readonly reason: string };

/** What became of one attempt. */
export type Outcome<Said> =
  | Judgement<Said>
  /** The certificate is not trusted: asking again will not help. */
  | { readonly kind: "untrusted"; readonly reason: string }
  | NoReply;

/** What gave no data. */
export type Failure<Said> = Exclude<Outcome<Said>, { readonly kind: "data" }>;

/** Reasons that are found in the certificate. */
const certificateProblem =
  /^(?:DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_(?:GET|VERIFY|DECRYPT|DECODE)\w*|CERT_\w+|INVALID_(?:CA|PURPOSE)|HOSTNAME_MISMATCH|ERR_TLS_CERT_\w+)$/;

/** Sends one request once. Never throws, unless `judge` does. */
export async function attempt<Said>(
  dispatcher: Dispatcher,
  request: WireRequest,
  judge: (reply: Reply) => Judgement<Said>,
  signal: AbortSignal,
): Promise<Outcome<Said>> {
  const result = await exchange(dispatcher, request, signal);
  if (result.kind === "reply") return judge(result);
  if (result.kind === "refused" && certificateProblem.test(result.reason))
    return { kind: "untrusted", reason: result.reason };
  return result;
}
