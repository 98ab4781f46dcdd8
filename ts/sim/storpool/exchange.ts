// SPDX-License-Identifier: AGPL-3.0-or-later
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Behaviour } from "./behaviour.js";
import { type Refusal, refuse } from "./refusal.js";

/** More than any request needs, in bytes. */
const largestBody = 4 * 1024 * 1024;

/** An answer before it is sent. */
export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

/** The answer to a request that succeeded. */
export function success(data: unknown, generation: number): Answer {
  return json(200, { generation, data });
}

/** The answer to a refused request, by the transport that the switch says. */
export function failure(refusal: Refusal, generation: number, behaviour: Behaviour): Answer {
  const { refusal: name, message: descr, transient, status } = refusal;
  if (behaviour.errorTransport === "status-text") return text(status, `${status} the service has refused\n`);
  const error = { name, descr, transient };
  return json(behaviour.errorTransport === "ok-json" ? 200 : status, { error, generation });
}

export function json(status: number, value: unknown): Answer {
  return { status, type: "application/json", text: JSON.stringify(value) };
}

export function text(status: number, words: string): Answer {
  return { status, type: "text/plain", text: words };
}

export function send(response: ServerResponse, { status, type, text: body }: Answer): void {
  if (response.destroyed) return;
  response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(body) });
  response.end(body);
}

/** Sends half of an answer, then resets the connection. */
export function sendHalf(response: ServerResponse, { status, type, text: body }: Answer): void {
  response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(body) });
  response.write(body.slice(0, Math.floor(body.length / 2)), () => reset(response));
}

/** Ends a connection as a crash does. */
export function reset(response: ServerResponse): void {
  response.socket?.resetAndDestroy();
}

/** The JSON that was sent; undefined for nothing. Throws when it is none, or too large. */
export async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > largestBody) throw refuse("invalidParam", "the body is too large");
    parts.push(part);
  }
  return length === 0 ? undefined : parsed(Buffer.concat(parts).toString());
}

/** JSON, or `invalidParam`. */
export function parsed(words: string): unknown {
  try {
    return JSON.parse(words);
  } catch {
    throw refuse("invalidParam", "the body is no JSON");
  }
}
