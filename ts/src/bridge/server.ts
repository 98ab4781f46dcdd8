// SPDX-License-Identifier: AGPL-3.0-or-later
import { chmodSync, unlinkSync } from "node:fs";
import { createConnection, createServer, type ListenOptions, type Server } from "node:net";
import { fail } from "../common/errors.js";
import type { Logger } from "../common/log.js";
import type { Storages } from "../plugin/storage.js";
import { Connection } from "./connection.js";
import { Metrics } from "./metrics.js";

/** How long calls under way may take to finish when the service is stopped, in milliseconds. */
const stopLimitMs = 20_000;

/** The descriptor on which systemd passes the first listening socket. */
const firstPassedDescriptor = 3;

export interface BridgeOptions {
  readonly storages: Storages;
  readonly version: string;
  readonly log: Logger;
}

/** The bridge: accepts the shim's connections on a Unix socket and serves their calls. */
export class Bridge {
  readonly #server: Server;
  readonly #connections = new Set<Connection>();
  #stopping = false;

  constructor(private readonly options: BridgeOptions) {
    const service = {
      version: options.version,
      metrics: new Metrics(options.version, options.storages.host.name),
    };
    // Half-open: a client that closed its writing side still waits for answers.
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      const connection = new Connection(socket, options.storages, service, options.log);
      this.#connections.add(connection);
      if (this.#stopping) void connection.finish();
      void connection.ended.then(() => this.#connections.delete(connection));
    });
  }

  /**
   * Listens on `path`, for root only. A socket left by a killed service is replaced; one that answers is not:
   * throws `busy`.
   */
  async listen(path: string): Promise<void> {
    if (await answers(path)) {
      throw fail("busy", `serve: another service answers on '${path}'; stop it first`);
    }
    try {
      unlinkSync(path);
    } catch (error) {
      if ((error as { code?: string }).code !== "ENOENT") throw error;
    }
    const mask = process.umask(0o177);
    try {
      await this.#listen({ path });
    } finally {
      process.umask(mask);
    }
    chmodSync(path, 0o600);
  }

  /** Listens on the socket that systemd passed. */
  async listenPassed(): Promise<void> {
    await this.#listen({ fd: firstPassedDescriptor } as ListenOptions);
  }

  /**
   * Lets calls under way finish for a while, then hangs up. Until then clients are still accepted, as they would hear
   * nothing in the queue of a passed socket: brief calls are answered, others wait for the next service. Imports go
   * on: their streams find the next service.
   */
  async stop(): Promise<void> {
    this.#stopping = true;
    const finished = Promise.allSettled([...this.#connections].map((connection) => connection.finish()));
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise((resolve) => {
      timer = setTimeout(resolve, stopLimitMs);
    });
    await Promise.race([finished, limit]);
    this.#server.close();
    const all = [...this.#connections];
    for (const connection of all) connection.leave();
    await Promise.race([Promise.allSettled(all.map((connection) => connection.ended)), limit]);
    clearTimeout(timer);
  }

  #listen(options: ListenOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(options, () => {
        this.#server.off("error", reject);
        this.#server.on("error", (error) => this.options.log.error("listening failed", { error }));
        resolve();
      });
    });
  }
}

/** Whether a service accepts connections on this socket. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createConnection({ path });
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", () => resolve(false));
  });
}
