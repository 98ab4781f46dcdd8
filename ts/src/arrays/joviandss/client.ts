// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import type { TransportLimits } from "../../common/http/limits.js";
import { JovianError, means } from "./answer.js";
import { Api } from "./api.js";
import type { Endpoint } from "./call.js";
import { transportTo } from "./dialect.js";
import { Exports } from "./exports.js";
import { type PoolState, poolSchema, type Vip, vipSchema } from "./shapes.js";
import { Snapshots } from "./snapshots.js";
import { usualPatience, type VolumePatience, Volumes } from "./volumes.js";

/** How long things may take, where that is not as usual. */
export interface ClientPace {
  readonly limits?: Partial<TransportLimits>;
  readonly volumes?: Partial<VolumePatience>;
  readonly targetsMs?: number;
}

/**
 * JovianDSS's REST API for one pool, one method per request. Names are the array's, see `names.ts`. Errors are ours:
 * `absent` only when the array said so of the very object, a LostReply when a change may have worked unseen.
 */
export class JoviandssClient {
  readonly volumes: Volumes;
  readonly snapshots: Snapshots;
  readonly targets: Exports;
  readonly #api: Api;

  constructor(endpoint: Endpoint, pool: string, { limits, volumes, targetsMs }: ClientPace = {}) {
    const patience = { ...usualPatience, ...volumes };
    this.#api = new Api(transportTo(endpoint, limits), pool);
    this.volumes = new Volumes(this.#api, patience);
    this.snapshots = new Snapshots(this.#api, patience.deleteMs);
    this.targets = new Exports(this.#api, targetsMs);
  }

  /** Capacity and identity of the pool, soon or not at all. Throws `absent` when the array has no such pool. */
  async pool(ctx: Context): Promise<PoolState> {
    const what = `look up pool '${this.#api.pool}'`;
    try {
      return await this.#api.get(ctx, what, this.#api.path(), poolSchema, { probe: true });
    } catch (error) {
      if (!means(error, "pool-missing")) throw error;
      throw new JovianError("absent", error.message, error.condition, error.subject, error.afterLost);
    }
  }

  /** The addresses of the pool. `probe`: soon or not at all. */
  vips(ctx: Context, how: { readonly probe?: boolean } = {}): Promise<Vip[]> {
    const what = `list addresses of pool '${this.#api.pool}'`;
    return this.#api.list(ctx, what, this.#api.path("vips"), vipSchema, how);
  }

  /** Ends all connections. */
  close(): Promise<void> {
    return this.#api.transport.close();
  }
}
