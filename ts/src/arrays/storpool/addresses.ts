// SPDX-License-Identifier: AGPL-3.0-or-later
import dns, { type LookupAddress } from "node:dns";
import type { LookupFunction, Socket } from "node:net";
import { buildConnector } from "undici";

/** How long one address of several may take to accept a connection before the next one is tried, in milliseconds. */
const nextAddressMs = 300;

/** Resolves a name to all of its addresses. */
export type Resolve = (hostname: string, done: (error: Error | null, found: LookupAddress[]) => void) => void;

const system: Resolve = (hostname, done) =>
  dns.lookup(hostname, { all: true }, (error, found) => done(error, found ?? []));

/**
 * Makes connections to a host whose name may have several addresses: one that does not accept is passed over, the one
 * that did so last comes first, and the one that fell silent comes last.
 */
export class Addresses {
  #good: string | undefined;
  #silent: string | undefined;

  constructor(private readonly resolve: Resolve = system) {}

  /** The connector of a pool. */
  connector(timeoutMs: number): buildConnector.connector {
    const connect = buildConnector({
      timeout: timeoutMs,
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: nextAddressMs,
      lookup: this.#lookup,
    });
    return (options, callback) =>
      connect(options, (...result) => {
        const socket: Socket | null = result[1];
        if (socket) this.#good = socket.remoteAddress;
        callback(...result);
      });
  }

  /** The host at the address in use has accepted connections, and does not answer. */
  fellSilent(): void {
    this.#silent = this.#good ?? this.#silent;
    this.#good = undefined;
  }

  readonly #lookup: LookupFunction = (hostname, options, callback) => {
    this.resolve(hostname, (error, found) => {
      const sorted = [...found].sort((a, b) => this.#rank(a) - this.#rank(b));
      const [first] = sorted;
      if (error) callback(error, "");
      else if (options.all) callback(null, sorted);
      else callback(null, first?.address ?? "", first?.family);
    });
  };

  #rank({ address }: LookupAddress): number {
    return address === this.#good ? 0 : address === this.#silent ? 2 : 1;
  }
}
