// SPDX-License-Identifier: AGPL-3.0-or-later
import { createSecureContext } from "node:tls";
import { buildConnector, Pool } from "undici";
import { remembering } from "../../common/http/exchange.js";
import type { Endpoint } from "./call.js";

/** Those that may take long keep no place from others. */
const places = { quick: 6, again: 4, probing: 8, slow: 16 } as const;

export type Place = keyof typeof places;

/** The view of all resources with their volumes is the largest reply; beyond this it is not one. */
const maxReplyBytes = 256 << 20;

/** Connections to each of the controllers. */
export class Pools {
  readonly #pools = new Map<string, Pool>();

  constructor({ controllers, ca, cert, key }: Endpoint, connectMs: number) {
    const secureContext = controllers.some((origin) => origin.startsWith("https:"))
      ? // Made once: to read all certificates of a machine takes longer than a request.
        createSecureContext({
          ...(ca === undefined ? {} : { ca }),
          ...(cert === undefined ? {} : { cert }),
          ...(key === undefined ? {} : { key: key.reveal() }),
        })
      : undefined;
    const connect = remembering(
      buildConnector({ timeout: connectMs, ...(secureContext ? { secureContext } : {}) }),
    );
    for (const origin of controllers) {
      for (const [place, connections] of Object.entries(places))
        this.#pools.set(
          `${origin} ${place}`,
          new Pool(origin, {
            connect,
            connections,
            // No connection is kept: one that was may lead to a host that is no controller any more.
            pipelining: 0,
            // Each attempt has its own limit, also the long ones.
            headersTimeout: 0,
            bodyTimeout: 0,
            maxResponseSize: maxReplyBytes,
          }),
        );
    }
  }

  at(origin: string, place: Place): Pool {
    const pool = this.#pools.get(`${origin} ${place}`);
    if (!pool) throw new Error(`no pool for ${origin}`);
    return pool;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#pools.values()].map((pool) => pool.destroy()));
  }
}
