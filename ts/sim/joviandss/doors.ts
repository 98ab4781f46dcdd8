// SPDX-License-Identifier: AGPL-3.0-or-later
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import type { Identity } from "../common/certificate.js";

/**
 * `open`: answers. `standby`: answers, but its node does not own the pool. `refusing`: nobody listens. `mute`: accepts
 * connections and never says a word.
 */
export type DoorState = "open" | "standby" | "refusing" | "mute";

interface Door {
  state: DoorState;
  server: Server | undefined;
  readonly sockets: Set<Socket>;
}

type Serve = (address: string, request: IncomingMessage, response: ServerResponse) => void;

/** The control addresses, all with the same port. */
export class Doors {
  readonly #doors = new Map<string, Door>();
  readonly #identity: Identity;
  readonly #serve: Serve;
  #port: number;

  constructor(addresses: readonly string[], port: number, identity: Identity, serve: Serve) {
    this.#port = port;
    this.#identity = identity;
    this.#serve = serve;
    for (const address of addresses)
      this.#doors.set(address, { state: "refusing", server: undefined, sockets: new Set() });
  }

  get port(): number {
    return this.#port;
  }

  get addresses(): readonly string[] {
    return [...this.#doors.keys()];
  }

  stateOf(address: string): DoorState {
    return this.#door(address).state;
  }

  /** Opens all. A port that is free at one address can be taken at another: then the next one is tried. */
  async open(): Promise<void> {
    const wanted = this.#port;
    for (let tries = 5; ; tries--) {
      try {
        for (const address of this.addresses) await this.set(address, "open");
        return;
      } catch (error) {
        await this.close();
        this.#port = wanted;
        if (wanted !== 0 || tries === 0 || (error as { code?: string }).code !== "EADDRINUSE") throw error;
      }
    }
  }

  /** Changes what is behind an address. Connections are reset, unless it goes on answering. */
  async set(address: string, state: DoorState): Promise<void> {
    const door = this.#door(address);
    const answers = (one: DoorState) => one === "open" || one === "standby";
    const goesOn = answers(state) && answers(door.state);
    door.state = state;
    if (goesOn) return;
    await this.#shut(door);
    if (state === "refusing") return;
    const server = answers(state)
      ? createHttpsServer(this.#identity, (request, response) => this.#serve(address, request, response))
      : createServer();
    // A client that does not trust the certificate is no reason to end.
    server.on("tlsClientError", () => {});
    server.on("connection", (socket: Socket) => {
      door.sockets.add(socket);
      socket.on("error", () => {});
      socket.once("close", () => door.sockets.delete(socket));
    });
    door.server = server;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(this.#port, address, resolve);
    }).catch((error) => {
      door.state = "refusing";
      door.server = undefined;
      throw error;
    });
    this.#port = (server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    for (const door of this.#doors.values()) {
      door.state = "refusing";
      await this.#shut(door);
    }
  }

  async #shut(door: Door): Promise<void> {
    const { server } = door;
    door.server = undefined;
    if (!server) return;
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of door.sockets) socket.resetAndDestroy();
    await closed;
  }

  #door(address: string): Door {
    const door = this.#doors.get(address);
    if (!door) throw new Error(`'${address}' is not a control address of this simulator`);
    return door;
  }
}
