// SPDX-License-Identifier: AGPL-3.0-or-later
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Identity } from "../common/certificate.js";
import { Listener, type ListenerState } from "../common/listener.js";

/** Besides what a listener can be, `standby`: answers, but its node does not own the pool. */
export type DoorState = ListenerState | "standby";

interface Door {
  state: DoorState;
  listener: Listener;
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
      this.#doors.set(address, { state: "refusing", listener: this.#listener(address) });
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
        for (const [address, door] of this.#doors) {
          door.listener = this.#listener(address);
          await this.set(address, "open");
          this.#port = door.listener.port;
        }
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
    door.state = state;
    await door.listener.set(state === "standby" ? "open" : state).catch((error) => {
      door.state = "refusing";
      throw error;
    });
  }

  async close(): Promise<void> {
    for (const door of this.#doors.values()) {
      door.state = "refusing";
      await door.listener.close();
    }
  }

  #listener(address: string): Listener {
    return new Listener(address, this.#port, this.#identity, (request, response) =>
      this.#serve(address, request, response),
    );
  }

  #door(address: string): Door {
    const door = this.#doors.get(address);
    if (!door) throw new Error(`'${address}' is not a control address of this simulator`);
    return door;
  }
}
