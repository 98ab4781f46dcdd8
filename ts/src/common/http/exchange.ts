// SPDX-License-Identifier: AGPL-3.0-or-later
import type { buildConnector, Dispatcher } from "undici";

/** One request, as it goes over the wire. */
export interface WireRequest {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** With the API's prefix and the query string. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly limitMs: number;
}

/** Why there is no reply. */
export type NoReply =
  /** Nothing was sent. */
  | { readonly kind: "refused"; readonly reason: string }
  /** Sent, perhaps in part, and not answered. */
  | { readonly kind: "lost"; readonly reason: string; readonly timeout: boolean }
  /** The caller's signal aborted. `sent`: the request may have gone out. */
  | { readonly kind: "aborted"; readonly sent: boolean };

/** What came back over the wire, whatever it says. */
export interface Reply {
  readonly kind: "reply";
  readonly status: number;
  readonly text: string;
}

/** Errors of connections that were never made. */
const connectFailures = new WeakSet<Error>();

/** A connector whose failures {@link exchange} knows as `refused`, also those of a TLS handshake. */
export function remembering(connect: buildConnector.connector): buildConnector.connector {
  return (options, callback) =>
    connect(options, (...result) => {
      if (result[0]) connectFailures.add(result[0]);
      callback(...result);
    });
}

/** Sends one request once. Never throws. */
export async function exchange(
  dispatcher: Dispatcher,
  request: WireRequest,
  signal: AbortSignal,
): Promise<Reply | NoReply> {
  if (signal.aborted) return { kind: "aborted", sent: false };
  const limit = AbortSignal.timeout(Math.max(0, Math.round(request.limitMs)));
  const either = AbortSignal.any([signal, limit]);
  const { method, path, headers, body = null } = request;
  const send = async (): Promise<Reply> => {
    const reply = await dispatcher.request({ method, path, headers, body, signal: either });
    return { kind: "reply", status: reply.statusCode, text: await reply.body.text() };
  };
  try {
    // The dispatcher looks at the signal only when there is a connection; then it does not send any more.
    return await Promise.race([send(), aborted(either)]);
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

function errorCode(error: unknown): string {
  const { code, name } = (error ?? {}) as { code?: unknown; name?: unknown };
  return typeof code === "string" ? code : typeof name === "string" ? name : "unknown error";
}

/** True when the connection was never made. A name with several addresses fails with one error for each. */
function neverSent(error: unknown): boolean {
  if (error instanceof Error && connectFailures.has(error)) return true;
  if (error instanceof AggregateError) return error.errors.length > 0 && error.errors.every(neverSent);
  const { code, syscall } = (error ?? {}) as { code?: unknown; syscall?: unknown };
  return syscall === "connect" || syscall === "getaddrinfo" || code === "UND_ERR_CONNECT_TIMEOUT";
}
