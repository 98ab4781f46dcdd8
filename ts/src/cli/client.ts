// SPDX-License-Identifier: AGPL-3.0-or-later
import { createConnection, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { silenceLimitMs } from "../bridge/limits.js";
import { BlockioError, fail, isErrorCode } from "../common/errors.js";

/** Where the service listens unless `PVE_BLOCKIO_SOCKET` or `--socket` says otherwise. */
export const defaultSocket = "/run/pve-blockio/bridge.sock";

export interface Section {
  readonly storeid: string;
  readonly scfg: Record<string, unknown>;
}

/** How long a service that has ended may take to be back, in milliseconds, and how often is looked. */
const restartLimitMs = 30_000;
const restartPauseMs = 500;

interface Pending {
  resolve(result: unknown): void;
  reject(error: Error): void;
  heard(): void;
}

/** A client of the bridge, for the command line. */
export class BridgeClient {
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;

  private constructor(
    private readonly socket: Socket,
    private readonly path: string,
  ) {
    const lines = createInterface({ input: socket, crlfDelay: Number.POSITIVE_INFINITY });
    lines.on("line", (line) => this.#receive(line));
    // The interface repeats the socket's errors, which are dealt with below.
    lines.on("error", () => {});
    socket.on("close", () => this.#lost());
    socket.on("error", () => this.#lost());
  }

  /** Throws `unreachable` when nothing listens, for `patienceMs` of which somebody may begin to. */
  static async connect(path: string, patienceMs = 0): Promise<BridgeClient> {
    const end = performance.now() + patienceMs;
    for (;;) {
      try {
        return await BridgeClient.#connectOnce(path);
      } catch (error) {
        if (performance.now() >= end) throw error;
        await sleep(restartPauseMs);
      }
    }
  }

  static #connectOnce(path: string): Promise<BridgeClient> {
    return new Promise((resolve, reject) => {
      const socket = createConnection({ path });
      socket.once("connect", () => {
        socket.removeAllListeners("error");
        resolve(new BridgeClient(socket, path));
      });
      socket.once("error", (error: Error & { code?: string }) =>
        reject(unreachable(path, error.code === "EACCES" ? "it is for root only" : "nothing listens", error)),
      );
    });
  }

  /**
   * Connects and calls a method that makes nothing, whose result lasts as long as the connection. A service that ends
   * meanwhile is asked again when it is back. Like {@link call} otherwise.
   */
  static async hold<T>(
    path: string,
    method: string,
    section: Section,
    args: object,
  ): Promise<{ client: BridgeClient; held: T }> {
    const end = performance.now() + restartLimitMs;
    for (let sent = 1; ; sent++) {
      const client = await BridgeClient.connect(path, sent === 1 ? 0 : end - performance.now());
      try {
        return { client, held: await client.call<T>(method, section, args) };
      } catch (error) {
        const lost = client.closed;
        client.close();
        // A third time would only end a service once more that ends by this very request.
        if (!lost || sent === 2 || performance.now() > end) throw error;
        await sleep(restartPauseMs);
      }
    }
  }

  /** Calls a method, with `token` one that may be sent again; throws the service's typed error, or `unreachable` when it falls silent. */
  async call<T>(
    method: string,
    section: Section | undefined,
    args: object = {},
    deadlineMs?: number,
    token?: string,
  ): Promise<T> {
    const id = ++this.#lastId;
    const request = {
      id,
      method,
      ...section,
      args,
      ...(deadlineMs === undefined ? {} : { deadlineMs }),
      ...(token === undefined ? {} : { request: token }),
    };
    let silence: NodeJS.Timeout | undefined;
    try {
      return await new Promise<T>((resolve, reject) => {
        const heard = () => {
          clearTimeout(silence);
          silence = setTimeout(
            () => reject(unreachable(this.path, "the service does not answer")),
            silenceLimitMs,
          );
        };
        this.#pending.set(id, { resolve: (result) => resolve(result as T), reject, heard });
        heard();
        this.socket.write(`${JSON.stringify(request)}\n`);
      });
    } finally {
      clearTimeout(silence);
      this.#pending.delete(id);
    }
  }

  /** No answer will come any more: the service has hung up. */
  get closed(): boolean {
    return this.socket.destroyed || this.socket.readableEnded;
  }

  close(): void {
    this.socket.destroy();
  }

  #receive(line: string): void {
    let reply: {
      id?: unknown;
      working?: unknown;
      result?: unknown;
      error?: { code?: unknown; message?: unknown };
    };
    try {
      reply = JSON.parse(line);
    } catch {
      this.socket.destroy();
      return;
    }
    const pending = this.#pending.get(Number(reply.id));
    if (!pending) return;
    pending.heard();
    if (reply.error) {
      const code = isErrorCode(reply.error.code) ? reply.error.code : "internal";
      pending.reject(new BlockioError(code, String(reply.error.message)));
    } else if (!reply.working) {
      pending.resolve(reply.result);
    }
  }

  #lost(): void {
    for (const pending of this.#pending.values()) {
      pending.reject(unreachable(this.path, "the service hung up"));
    }
  }
}

function unreachable(path: string, what: string, cause?: unknown): BlockioError {
  return fail("unreachable", `bridge '${path}': ${what}; see systemctl status pve-blockio.service`, cause);
}
