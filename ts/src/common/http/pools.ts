// SPDX-License-Identifier: AGPL-3.0-or-later
import { createSecureContext, type SecureContextOptions } from "node:tls";
import { buildConnector, Pool } from "undici";
import { remembering } from "./exchange.js";

/** How the hosts of an array are reached. */
export interface PoolOptions {
  readonly connectMs: number;
  /** Certificates to trust, those that Node brings along when absent, and those to show. */
  readonly tls?: Pick<SecureContextOptions, "ca" | "cert" | "key">;
  /** False accepts any certificate. */
  readonly verify?: boolean;
  /** How many changes of usual length may be under way at each host. */
  readonly changes: number;
  /** Beyond this a reply is none. */
  readonly maxReplyBytes: number;
}

/** Those that may take long keep no place from others. */
const places = { asking: 6, again: 4, probing: 8, slow: 4 } as const;

export type Place = keyof typeof places | "changing";

/** Connections to each of some origins. */
export class Pools {
  readonly #pools = new Map<string, Pool>();

  constructor(origins: readonly string[], options: PoolOptions) {
    const { connectMs, tls = {}, verify = true, changes, maxReplyBytes } = options;
    const secure = origins.some((origin) => origin.startsWith("https:"));
    const connect = remembering(
      buildConnector({
        timeout: connectMs,
        rejectUnauthorized: verify,
        // Made once: to read all certificates of a machine takes longer than a request.
        ...(secure ? { secureContext: createSecureContext(tls) } : {}),
      }),
    );
    for (const origin of origins) {
      for (const [place, connections] of Object.entries({ ...places, changing: changes }))
        this.#pools.set(
          `${origin} ${place}`,
          new Pool(origin, {
            connect,
            connections,
            // No connection is kept: one that was may lead to a host that is not the right one any more.
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
