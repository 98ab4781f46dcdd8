// SPDX-License-Identifier: AGPL-3.0-or-later
import type { IncomingMessage } from "node:http";
import type { Journal, JournalEntry } from "../common/journal.js";
import type { JovianArray } from "./array.js";
import { bodyOf, placeOf } from "./exchange.js";
import type { Fault, FaultKind, Faults } from "./faults.js";
import { asRefusal, Refusal, refuse } from "./refusal.js";
import { routeOf } from "./routes.js";
import type { Pool } from "./state.js";
import type { Result } from "./world.js";

/** A request that was read: what goes wrong with it, and how it is carried out. */
export interface Received {
  readonly entry: JournalEntry;
  readonly faults: readonly Fault[];
  /** Notes the outcome. `owns`: the pool is at the node that was asked. */
  run(owns: boolean): Promise<Result>;
}

/** Leads requests to their routes, and writes the journal. */
export class Requests {
  constructor(
    private readonly array: JovianArray,
    private readonly journal: Journal,
    private readonly faults: Faults,
  ) {}

  async receive(address: string, url: string, request: IncomingMessage): Promise<Received> {
    const verb = request.method ?? "";
    const place = placeOf(url);
    const found = place && routeOf(verb, place.path);
    let broken: unknown;
    const body = await bodyOf(request).catch((error) => {
      if (!(error instanceof Refusal)) throw error;
      broken = error;
    });
    const name = found?.route.name ?? "unknown";
    const path = place ? `${place.path}${url.includes("?") ? url.slice(url.indexOf("?")) : ""}` : url;
    const entry = this.journal.begin({ verb, path, request: name, body: withoutPassword(body), address });
    const faults = this.faults.of(name, address, {
      query: verb === "GET",
      targets: found?.route.editsTargets ?? false,
    });
    entry.faults = faults.map(({ kind }) => kind);
    const has = (kind: FaultKind) => entry.faults.includes(kind);
    const carryOut = async (owns: boolean): Promise<Result> => {
      const { behaviour } = this.array;
      refuseAhead(faults);
      if (broken) throw broken;
      if (!place || !found || !behaviour.versions.some((version) => version === place.version))
        throw refuse.unknownUrl();
      if (place.encoded && behaviour.rawUrls) throw refuse.unknownUrl();
      const pool = this.#pool(found.at["pool"], owns);
      const { query, version } = place;
      const result = await this.array.run(found.route, { pool, at: found.at, query, body, version, has });
      if (has("clash-after")) throw refuse.configClash();
      return result;
    };
    const run = async (owns: boolean): Promise<Result> => {
      try {
        const result = await carryOut(owns);
        entry.outcome = "ok";
        return result;
      } catch (error) {
        entry.outcome = asRefusal(error).kind;
        throw error;
      }
    };
    return { entry, faults, run };
  }

  #pool(name: string | undefined, owns: boolean): Pool {
    const found =
      name === undefined ? this.array.state.pools.values().next().value : this.array.state.pools.get(name);
    if (!found || !owns) throw refuse.noPool(name ?? "", this.array.behaviour);
    return found;
  }
}

function refuseAhead(faults: readonly Fault[]): void {
  for (const { kind, status, class: errorClass, message, errno } of faults) {
    if (kind === "clash") throw refuse.configClash();
    if (kind === "scst") throw refuse.scst();
    if (kind === "os") throw refuse.os();
    if (kind === "error") throw new Refusal(status, "error", errorClass, message, errno);
  }
}

/** CHAP passwords are secrets too. */
function withoutPassword(body: unknown): unknown {
  return typeof body === "object" && body !== null && "password" in body
    ? { ...body, password: "***" }
    : body;
}
