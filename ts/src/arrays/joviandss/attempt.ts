// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Dispatcher } from "undici";
import { exchange, type NoReply, type WireRequest } from "../../common/http/exchange.js";
import { type ArrayAnswer, errorIn } from "./answer.js";

/** What became of one attempt. */
export type Outcome =
  | { readonly kind: "data"; readonly data: unknown }
  /** The array answered with an error. */
  | { readonly kind: "error"; readonly answer: ArrayAnswer }
  /** Somebody answered, but not in the array's way, or with nothing where something must be. */
  | { readonly kind: "garbled"; readonly reason: string }
  /** The certificate is not trusted: asking again will not help. */
  | { readonly kind: "untrusted"; readonly reason: string }
  | NoReply;

/** Reasons that are found in the certificate. */
const certificateProblem =
  /^(?:DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_(?:GET|VERIFY|DECRYPT|DECODE)\w*|CERT_\w+|INVALID_(?:CA|PURPOSE)|HOSTNAME_MISMATCH|ERR_TLS_CERT_\w+)$/;

/** Sends one request once. Never throws. `acceptable` says whether data can be an answer to it. */
export async function attempt(
  dispatcher: Dispatcher,
  request: WireRequest,
  acceptable: (data: unknown) => boolean,
  signal: AbortSignal,
): Promise<Outcome> {
  const result = await exchange(dispatcher, request, signal);
  if (result.kind === "reply") return judge(result.status, result.text, acceptable);
  if (result.kind === "refused" && certificateProblem.test(result.reason))
    return { kind: "untrusted", reason: result.reason };
  return result;
}

/** An error decides before the HTTP status does. */
function judge(status: number, text: string, acceptable: (data: unknown) => boolean): Outcome {
  const good = status >= 200 && status <= 299;
  // Changes are answered without any envelope.
  if (text.trim() === "" && good) return decided(null, acceptable);
  if (status === 401 || status === 403)
    return { kind: "error", answer: { status, class: "", message: "", errno: undefined } };
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return { kind: "garbled", reason: `HTTP status ${status} without JSON` };
  }
  const answer = errorIn(status, body);
  if (answer) return { kind: "error", answer };
  if (!good) return { kind: "garbled", reason: `HTTP status ${status}` };
  if (typeof body !== "object" || body === null || !("data" in body))
    return { kind: "garbled", reason: "a reply without data" };
  return decided(body.data, acceptable);
}

function decided(data: unknown, acceptable: (data: unknown) => boolean): Outcome {
  return acceptable(data) ? { kind: "data", data } : { kind: "garbled", reason: "a reply with other data" };
}
