// SPDX-License-Identifier: AGPL-3.0-or-later
import { createServer as createHttpServer, type RequestListener } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import type { Identity } from "./certificate.js";
import { keepPort } from "./port.js";

/** `open`: answers. `refusing`: nobody listens. `mute`: accepts connections and never says a word. */
export type ListenerState = "open" | "refusing" | "mute";

/** One address and port, which can be taken away and come back; nobody else gets the port meanwhile. */
export class Listener {
  readonly address: string;
  readonly #identity: Identity | undefined;
  readonly #serve: RequestListener;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #state: ListenerState = "refusing";
  #port: number;
  #release: (() => void) | undefined;

  /** `port` 0: any free one, which it keeps. With an identity it speaks TLS. */
  constructor(address: string, port: number, identity: Identity | undefined, serve: RequestListener) {
    this.address = address;
    this.#port = port;
    this.#identity = identity;
    this.#serve = serve;
  }

  get port(): number {
    return this.#port;
  }

  get state(): ListenerState {
    return this.#state;
  }

  /** Such as `https://127.0.0.1:3371`. */
  get url(): string {
    const host = this.address.includes(":") ? `[${this.address}]` : this.address;
    return `${this.#identity ? "https" : "http"}://${host}:${this.#port}`;
  }

  /** Changes what is there. Connections are reset. */
  async set(state: ListenerState): Promise<void> {
    if (state === this.#state) return;
    this.#state = state;
    await this.#shut();
    if (state === "refusing") {
      const release = await keepPort(this.address, this.#port);
      // It can have changed while this waited.
      if (this.state === "refusing") this.#release = release;
      else release();
      return;
    }
    const server = state === "mute" ? createServer() : this.#answering();
    // A client that does not trust the certificate is no reason to end.
    server.on("tlsClientError", () => {});
    server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.once("close", () => this.#sockets.delete(socket));
    });
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(this.#port, this.address, resolve);
    }).catch((error) => {
      this.#state = "refusing";
      this.#server = undefined;
      throw error;
    });
    this.#port = (server.address() as AddressInfo).port;
    this.#letGo();
  }

  /** Ends it: the port is anybody's. */
  async close(): Promise<void> {
    this.#state = "refusing";
    await this.#shut();
    this.#letGo();
  }

  #letGo(): void {
    this.#release?.();
    this.#release = undefined;
  }

  #answering(): Server {
    return this.#identity ? createHttpsServer(this.#identity, this.#serve) : createHttpServer(this.#serve);
  }

  async #shut(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (!server) return;
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of this.#sockets) socket.resetAndDestroy();
    await closed;
  }
}
