// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Dispatcher } from "undici";
import { type ArrayAnswer, errorIn } from "./answer.js";
import type { Secret } from "./secret.js";

/** One request, as it goes over the wire. */
export interface Request {
  readonly method: "GET" | "POST";
  /** With the API's prefix and the query string. */
  readonly path: string;
  readonly body?: string;
  readonly limitMs: number;
}

/** What became of one attempt. */
export type Outcome =
  | { readonly kind: "data"; readonly data: unknown }
  /** StorPool answered with an error. */
  | { readonly kind: "error"; readonly answer: ArrayAnswer }
  /** Somebody answered, but not in StorPool's way. `final`: asking again will not help. */
  | { readonly kind: "garbled"; readonly reason: string; readonly final: boolean }
  /** Nothing was sent. */
  | { readonly kind: "refused"; readonly reason: string }
  /** Sent, perhaps in part, and not answered. */
  | { readonly kind: "lost"; readonly reason: string; readonly timeout: boolean }
  /** The caller's signal aborted. `sent`: the request may have gone out. */
  | { readonly kind: "aborted"; readonly sent: boolean };

/** Sends one request once. Never throws. */
export async function attempt(
  dispatcher: Dispatcher,
  token: Secret,
  request: Request,
  signal: AbortSignal,
): Promise<Outcome> {
  if (signal.aborted) return { kind: "aborted", sent: false };
  const limit = AbortSignal.timeout(Math.max(0, Math.round(request.limitMs)));
  const either = AbortSignal.any([signal, limit]);
  const exchange = async () => {
    const reply = await dispatcher.request({
      method: request.method,
      path: request.path,
      headers: { authorization: `Storpool v1:${token.reveal()}`, "content-type": "application/json" },
      body: request.body ?? null,
      signal: either,
    });
    return judge(reply.statusCode, await reply.body.text());
  };
  try {
    // The dispatcher looks at the signal only when there is a connection; then it does not send any more.
    return await Promise.race([exchange(), aborted(either)]);
  } catch (error) {
    if (signal.aborted) return { kind: "aborted", sent: true };
    if (limit.aborted) {
      return {
        kind: "lost",
        reason: `no answer within ${Math.round(request.limitMs / 100) / 10} s`,
        timeout: true,
      };
    }
    // Only the code is told: the text and the members of such errors may hold parts of request or reply.
    const reason = errorCode(error);
    return neverSent(error) ? { kind: "refused", reason } : { kind: "lost", reason, timeout: false };
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
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

function errorCode(error: unknown): string {
  const { code, name } = (error ?? {}) as { code?: unknown; name?: unknown };
  return typeof code === "string" ? code : typeof name === "string" ? name : "unknown error";
}

/** True when the connection was never made. A name with several addresses fails with one error for each. */
function neverSent(error: unknown): boolean {
  if (error instanceof AggregateError) return error.errors.length > 0 && error.errors.every(neverSent);
  const { code, syscall } = (error ?? {}) as { code?: unknown; syscall?: unknown };
  return syscall === "connect" || syscall === "getaddrinfo" || code === "UND_ERR_CONNECT_TIMEOUT";
}
