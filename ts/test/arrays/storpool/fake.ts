// SPDX-License-Identifier: AGPL-3.0-or-later
import { createServer, type ServerResponse } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import type { ExecutionContext } from "ava";
import { keepPort } from "../../../sim/common/port.js";
import { StorpoolClient } from "../../../src/arrays/storpool/client.js";
import { Transport } from "../../../src/arrays/storpool/transport.js";
import type { Context } from "../../../src/common/context.js";
import type { TransportLimits } from "../../../src/common/http/limits.js";
import { createLogger } from "../../../src/common/log.js";
import { Secret } from "../../../src/common/secret.js";

export const token = "1556129910218014736";

/** A request as the server saw it. */
export interface Seen {
  readonly method: string;
  /** Without the API's prefix. */
  readonly path: string;
  readonly authorization: string | undefined;
  readonly body: Record<string, unknown> | undefined;
}

/** What the server does with one request; gets the effect that the request would have. */
export type Step = (reply: ServerResponse, request: Seen) => void;

export function data(value: unknown): Step {
  return (reply) => void reply.end(JSON.stringify({ generation: 1, data: value }));
}

export function error(
  name: string,
  descr: string,
  options: { transient?: boolean; status?: number } = {},
): Step {
  return (reply) => {
    reply.statusCode = options.status ?? 200;
    reply.end(
      JSON.stringify({ generation: 1, error: { name, descr, transient: options.transient ?? false } }),
    );
  };
}

export function text(status: number, body: string): Step {
  return (reply) => {
    reply.statusCode = status;
    reply.end(body);
  };
}

/** Cuts the connection, after `effect` if there is one. */
export function cut(effect?: (request: Seen) => void): Step {
  return (reply, request) => {
    effect?.(request);
    reply.destroy();
  };
}

/** Never answers. */
export const silence: Step = () => {};

const quick: Partial<TransportLimits> = {
  connectMs: 1_000,
  queryMs: 2_000,
  commandMs: 2_000,
  pausesMs: [5, 5, 5, 5],
};

/** A client of a server that answers each request by the next step, the last one over and over. */
export async function serve(
  t: ExecutionContext,
  steps: readonly Step[],
  limits: Partial<TransportLimits> = {},
) {
  const seen: Seen[] = [];
  const server = createServer((request, reply) => {
    let body = "";
    request.on("data", (part: Buffer) => {
      body += part.toString();
    });
    request.on("end", () => {
      const entry: Seen = {
        method: request.method ?? "",
        path: (request.url ?? "").replace(/^\/ctrl\/1\.0\//, ""),
        authorization: request.headers.authorization,
        body: body === "" ? undefined : (JSON.parse(body) as Record<string, unknown>),
      };
      seen.push(entry);
      const step = steps[Math.min(seen.length, steps.length) - 1];
      step?.(reply, entry);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return { seen, server, port, ...connect(t, port, limits) };
}

/** A client of `port`, with a context whose log is kept. */
export function connect(t: ExecutionContext, port: number, limits: Partial<TransportLimits> = {}) {
  const endpoint = { host: "127.0.0.1", port, token: new Secret(token) };
  const client = new StorpoolClient(new Transport(endpoint, { ...quick, ...limits }));
  t.teardown(() => client.close());
  const lines: string[] = [];
  const ctx: Context = {
    signal: new AbortController().signal,
    log: createLogger({ level: "debug", write: (line) => lines.push(line) }),
  };
  return { client, ctx, lines };
}

/** A port of this machine on which nobody listens, and nobody else will until the test ends. */
export async function freePort(t: ExecutionContext): Promise<number> {
  const server = createTcpServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  t.teardown(await keepPort("127.0.0.1", port));
  return port;
}

/** A row of `VolumesList` as an array makes it, with members that nobody reads. */
export function row(gid: string, change: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    id: 6411,
    name: `~${gid}`,
    globalId: gid,
    parentName: "",
    templateName: "nvme",
    size: 10737418240,
    replication: "-",
    bw: "-",
    iops: "-",
    creationTimestamp: 1700000100,
    tags: { virt: "pve" },
    ...change,
  };
}
