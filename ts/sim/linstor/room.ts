// SPDX-License-Identifier: AGPL-3.0-or-later
import { choose, needed } from "./placement.js";
import { largestIn } from "./pools.js";
import { refuse } from "./replies.js";
import type { Definition, Pool, SatelliteNode } from "./state.js";
import type { World } from "./world.js";

/** The pool that a placer limited to one node chooses. */
export function poolOn({ state, behaviour }: World, definition: Definition, node: SatelliteNode): Pool {
  const filter = { ...definition.group.filter, node_name_list: undefined };
  const [pool] = choose(state, behaviour, { definition, filter, count: 1, only: node }) ?? [];
  if (pool) return pool;
  // The placer does not look at offline nodes, but their pools are known.
  const [known] = node.online ? [] : node.pools.values();
  if (known) return known;
  throw refuse("noPool", `No storage pool found on node '${node.name}' for '${definition.name}'`, {
    refs: { RscDfn: definition.name, Node: node.name },
  });
}

/** Refuses when a pool has no room for all volumes of a definition. */
export function refuseWithoutRoom({ state, behaviour }: World, definition: Definition, pool: Pool): void {
  if (needed(definition, pool, behaviour) <= largestIn(pool, state, behaviour)) return;
  throw refuse(
    "invalidVolumeSize",
    `Not enough free space available for volume 0 of resource '${definition.name}'.`,
    { refs: { RscDfn: definition.name, Node: pool.node.name, StorPool: pool.name } },
    "volume",
  );
}
