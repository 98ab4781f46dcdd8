// SPDX-License-Identifier: AGPL-3.0-or-later
import { createSecureContext } from "node:tls";
import { buildConnector, Pool } from "undici";
import { remembering } from "../../common/http/exchange.js";
import type { Endpoint } from "./call.js";

/** Those that may take long keep no place from others. */
const places = { quick: 6, again: 4, probing: 8, slow: 4 } as const;

export type Place = keyof typeof places;

/** The list of all volumes is read in pages; beyond this a reply is not one. */
const maxReplyBytes = 64 << 20;

/** Connections to each of the addresses. */
export class Pools {
  readonly #pools = new Map<string, Pool>();

  constructor({ addresses, port, verify, ca }: Endpoint, connectMs: number) {
    const connect = remembering(
      buildConnector({
        timeout: connectMs,
        rejectUnauthorized: verify,
        // Made once: to read all certificates of a machine takes longer than a request.
        secureContext: createSecureContext(ca === undefined ? {} : { ca }),
      }),
    );
    for (const address of addresses) {
      const host = address.includes(":") ? `[${address}]` : address;
      for (const [place, connections] of Object.entries(places))
        this.#pools.set(
          `${address} ${place}`,
          new Pool(`https://${host}:${port}`, {
            connect,
            connections,
            // No connection is kept.
            pipelining: 0,
            // Each attempt has its own limit, also the long ones.
            headersTimeout: 0,
            bodyTimeout: 0,
            maxResponseSize: maxReplyBytes,
          }),
        );
    }
  }

  at(address: string, place: Place): Pool {
    const pool = this.#pools.get(`${address} ${place}`);
    if (!pool) throw new Error(`no pool for ${address}`);
    return pool;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#pools.values()].map((pool) => pool.destroy()));
  }
}
