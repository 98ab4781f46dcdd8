// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import { codeOf, fail } from "../../common/errors.js";
import type { TransportLimits } from "../../common/http/limits.js";
import type { Bytes } from "../../common/size.js";
import { entriesOf, means } from "./answer.js";
import { Api, pathOf, queryOf } from "./api.js";
import { Definitions } from "./definitions.js";
import { type Endpoint, transportTo } from "./dialect.js";
import { sameName } from "./names.js";
import { Resources } from "./resources.js";
import {
  type Group,
  groupSchema,
  nodeSchema,
  type Pool,
  poolSchema,
  sizeInfoSchema,
  versionSchema,
} from "./shapes.js";
import { Snapshots } from "./snapshot-requests.js";

/**
 * LINSTOR's REST API, one method per request. Names are LINSTOR's, see `names.ts`. Errors are ours: `absent` only when
 * LINSTOR said so of the very object, a LostReply when a change may have worked unseen.
 */
export class LinstorClient {
  readonly definitions: Definitions;
  readonly resources: Resources;
  readonly snapshots: Snapshots;
  readonly #api: Api;

  constructor(endpoint: Endpoint, limits: Partial<TransportLimits> = {}) {
    this.#api = new Api(transportTo(endpoint, limits));
    this.definitions = new Definitions(this.#api);
    this.resources = new Resources(this.#api);
    this.snapshots = new Snapshots(this.#api);
  }

  /** How long a change may go on at the controller after we gave it up, in milliseconds. */
  get commandMs(): number {
    return this.#api.transport.limits.commandMs;
  }

  /** A resource group, soon or not at all. Throws `absent`. */
  async group(ctx: Context, name: string): Promise<Group> {
    const what = `look up resource group '${name}'`;
    const path = `resource-groups${queryOf({ resource_groups: name })}`;
    const found = (await this.#api.list(ctx, what, path, groupSchema, { probe: true })).find((one) =>
      sameName(one.name, name),
    );
    if (found) return found;
    throw fail("absent", `${what}: LINSTOR has none; check resourcegroup with linstor resource-group list`);
  }

  /** Makes a resource group that places one replica; one that exists is left as it is. */
  async ensureGroup(ctx: Context, name: string): Promise<void> {
    try {
      await this.group(ctx, name);
      return;
    } catch (error) {
      if (codeOf(error) !== "absent") throw error;
    }
    try {
      await this.#api.change(ctx, {
        what: `create resource group '${name}'`,
        method: "POST",
        path: "resource-groups",
        body: { name, select_filter: { place_count: 1 } },
        repeat: "repeatable",
      });
    } catch (error) {
      if (!means(error, "exists")) throw error;
    }
  }

  /**
   * Capacity of a resource group in bytes, by the server's own reckoning; `maxAgeSeconds` is how old that may be. Soon or
   * not at all.
   */
  async capacity(
    ctx: Context,
    group: string,
    maxAgeSeconds: number,
  ): Promise<{ readonly total: Bytes; readonly available: Bytes }> {
    const what = `ask for the capacity of resource group '${group}'`;
    const data = await this.#api.transport.call(ctx, {
      what,
      method: "POST",
      path: `${pathOf("resource-groups", group)}/query-size-info`,
      body: { ignore_cache_older_than_sec: maxAgeSeconds },
      repeat: "repeatable",
      query: true,
      probe: true,
    });
    const { space_info: info, reports } = this.#api.decode(what, sizeInfoSchema, data);
    if (!info) {
      const said = entriesOf(reports)?.[0]?.message ?? "nothing";
      throw fail("refused", `${what}: LINSTOR says: ${said}; look at linstor resource-group query-size-info`);
    }
    const total = kibibytes(info.capacity_in_kib);
    const available = kibibytes(info.available_size_in_kib);
    if (available > total) return { total, available: total };
    return { total, available };
  }

  /** The storage pools of all nodes. */
  async pools(ctx: Context, names: readonly string[] = []): Promise<Pool[]> {
    const path = `view/storage-pools${queryOf({ storage_pools: names, cached: "true" })}`;
    return this.#api.list(ctx, "list storage pools", path, poolSchema);
  }

  /** All nodes, and whether their satellites answer. */
  nodes(ctx: Context): Promise<{ readonly name: string; readonly online: boolean }[]> {
    return this.#api.list(ctx, "list nodes", "nodes", nodeSchema);
  }

  /** Names of the nodes whose satellite answers, in small letters. */
  async onlineNodes(ctx: Context): Promise<ReadonlySet<string>> {
    const all = await this.nodes(ctx);
    return new Set(all.flatMap(({ name, online }) => (online ? [name.toLowerCase()] : [])));
  }

  /** The server's version as numbers; `[1, 34, 0]` for `1.34.0-rc.1`. */
  async version(ctx: Context): Promise<readonly number[]> {
    const { version } = await this.#api.get(
      ctx,
      "ask for LINSTOR's version",
      "controller/version",
      versionSchema,
    );
    return (/^v?([0-9]+(?:\.[0-9]+)*)/.exec(version)?.[1] ?? "0").split(".").map(Number);
  }

  /** Ends all connections. */
  close(): Promise<void> {
    return this.#api.transport.close();
  }
}

/** Unlimited space is 2^63-1 KiB: as much as PVE can count. */
function kibibytes(count: number): Bytes {
  const bytes = BigInt(Math.trunc(count)) * 1024n;
  return bytes > BigInt(Number.MAX_SAFE_INTEGER) ? BigInt(Number.MAX_SAFE_INTEGER) : bytes;
}
