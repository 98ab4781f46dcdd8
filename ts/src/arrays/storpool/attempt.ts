// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Dispatcher } from "undici";
import { exchange, type NoReply, type WireRequest } from "../../common/http/exchange.js";
import type { Secret } from "../../common/secret.js";
import { type ArrayAnswer, errorIn } from "./answer.js";

/** One request, without what all have in common. */
export type Request = Omit<WireRequest, "headers">;

/** What became of one attempt. */
export type Outcome =
  | { readonly kind: "data"; readonly data: unknown }
  /** StorPool answered with an error. */
  | { readonly kind: "error"; readonly answer: ArrayAnswer }
  /** Somebody answered, but not in StorPool's way. `final`: asking again will not help. */
  | { readonly kind: "garbled"; readonly reason: string; readonly final: boolean }
  | NoReply;

/** Sends one request once. Never throws. */
export async function attempt(
  dispatcher: Dispatcher,
  token: Secret,
  request: Request,
  signal: AbortSignal,
): Promise<Outcome> {
  const headers = { authorization: `Storpool v1:${token.reveal()}`, "content-type": "application/json" };
  const result = await exchange(dispatcher, { ...request, headers }, signal);
  return result.kind === "reply" ? judge(result.status, result.text) : result;
}

/** An error decides before the HTTP status does. */
function judge(status: number, text: string): Outcome {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    if (status === 401 || status === 403) return unauthorized(status);
    return garbled(`HTTP status ${status} without JSON`, status);
  }
  const answer = errorIn(body);
  if (answer) return { kind: "error", answer };
  if (status === 401 || status === 403) return unauthorized(status);
  if (status < 200 || status > 299) {
    return garbled(`HTTP status ${status}`, status);
  }
  if (typeof body !== "object" || body === null || !("data" in body)) {
    return garbled("a reply without data", status);
  }
  return { kind: "data", data: body.data };
}

function garbled(reason: string, status: number): Outcome {
  return { kind: "garbled", reason, final: status >= 400 && status < 500 };
}

function unauthorized(status: number): Outcome {
  return {
    kind: "error",
    answer: { name: "unauthorized", descr: `HTTP status ${status}`, transient: false },
  };
}
