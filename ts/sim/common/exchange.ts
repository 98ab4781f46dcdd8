// SPDX-License-Identifier: AGPL-3.0-or-later
import type { IncomingMessage, ServerResponse } from "node:http";
import { TLSSocket } from "node:tls";

/** More than any request needs, in bytes. */
const largestBody = 4 * 1024 * 1024;

/** An answer before it is sent. */
export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export function json(status: number, value: unknown): Answer {
  return { status, type: "application/json", text: JSON.stringify(value) };
}

export function text(status: number, words: string): Answer {
  return { status, type: "text/plain", text: words };
}

export function send(response: ServerResponse, { status, type, text: body, headers }: Answer): void {
  if (response.destroyed) return;
  // An answer without content has neither type nor length.
  const empty = status === 204 && body === "";
  response.writeHead(
    status,
    empty ? {} : { ...headers, "content-type": type, "content-length": Buffer.byteLength(body) },
  );
  response.end(body);
}

/** Sends half of an answer, then resets the connection. */
export function sendHalf(response: ServerResponse, { status, type, text: body }: Answer): void {
  response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(body) });
  response.write(body.slice(0, Math.floor(body.length / 2)), () => reset(response));
}

/** Ends a connection as a crash does. */
export function reset({ socket }: ServerResponse): void {
  // Node cannot reset through TLS; its end comes without a farewell.
  if (socket instanceof TLSSocket) socket.destroy();
  else socket?.resetAndDestroy();
}

/** The body that was sent; empty for none, undefined when it is too large. */
export async function bodyText(request: IncomingMessage): Promise<string | undefined> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > largestBody) return undefined;
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}
