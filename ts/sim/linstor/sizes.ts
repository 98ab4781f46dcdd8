// SPDX-License-Identifier: AGPL-3.0-or-later
import type * as z from "zod";
import type { sizeArguments } from "./arguments.js";
import { returnCode } from "./codes.js";
import { layersOf } from "./layers.js";
import { candidates, mergeFilters } from "./placement.js";
import { freeOf, largestIn } from "./pools.js";
import { asRefusal, shownEntries } from "./replies.js";
import type { Group, Pool, SelectFilter } from "./state.js";
import type { Command, World } from "./world.js";

type Body = z.output<typeof sizeArguments>;

/** Capacity of every group. */
export const allSizes: Command<Body> = async (world, { body }) => ({
  result: Object.fromEntries(
    world.state.groups.values().map((group) => [group.name, sizesOf(world, group, body)]),
  ),
});

/** Capacity of one group; a missing one is reported with HTTP 200. */
export const groupSizes: Command<Body> = async (world, { at, body }) => {
  try {
    return sizesOf(world, world.state.group(at["group"] ?? ""), body);
  } catch (error) {
    return reported(world, error);
  }
};

function reported(world: World, error: unknown): unknown {
  const entry = asRefusal(error).entry("none", "resource group");
  return { reports: shownEntries([entry], new Date(world.now()).toISOString()) };
}

/** From the cache, unless it is too old. */
function sizesOf(
  world: World,
  group: Group,
  { select_filter, ignore_cache_older_than_sec: age }: Body,
): unknown {
  const filter = mergeFilters(select_filter, group.filter);
  const key = `${group.uuid} ${JSON.stringify(filter)}`;
  const known = world.state.sizes.get(key);
  if (known && age > 0 && world.now() - known.at <= age * 1000) return known.answer;
  const answer = sizeInfo(world, group, filter);
  world.state.sizes.set(key, { at: world.now(), answer });
  return answer;
}

function sizeInfo(world: World, group: Group, filter: SelectFilter): unknown {
  const { state, behaviour } = world;
  const count = filter.place_count ?? 1;
  const pools = candidates(state, filter, layersOf(filter));
  if (pools.length === 0)
    return {
      reports: shownEntries(
        [
          {
            code: returnCode("noPool", "none", "resource group"),
            message: `No storage pool for resource group '${group.name}' found.`,
          },
        ],
        new Date(world.now()).toISOString(),
      ),
    };
  const next = nextPlacement(world, pools, count);
  const capacity = shareOut(
    pools.map(({ capacity: kib }) => kib),
    count,
  );
  const available = next
    ? shareOut(
        pools.map((pool) => freeOf(pool, state, behaviour)),
        count,
      )
    : 0;
  const largest = next ? Math.min(...next.map((pool) => largestIn(pool, state, behaviour))) : 0;
  return {
    space_info: {
      max_vlm_size_in_kib: largest,
      available_size_in_kib: available,
      capacity_in_kib: capacity,
      default_max_oversubscription_ratio: behaviour.oversubscription,
      next_spawn_result: next?.map(({ node, name }) => ({ node_name: node.name, stor_pool_name: name })),
    },
  };
}

/** The freest pools, each on another node, with room for something. */
function nextPlacement(
  { state, behaviour }: World,
  pools: readonly Pool[],
  count: number,
): Pool[] | undefined {
  const sorted = pools
    .map((pool) => ({ pool, free: freeOf(pool, state, behaviour) }))
    .filter(({ free }) => free > 0)
    .sort((one, other) => other.free - one.free);
  const chosen: Pool[] = [];
  for (const { pool } of sorted)
    if (chosen.length < count && !chosen.some(({ node }) => node === pool.node)) chosen.push(pool);
  return chosen.length === count ? chosen : undefined;
}

/** KiB of volumes with so many replicas that some pools take, each replica in another pool. */
export function shareOut(sizes: readonly number[], count: number): number {
  let left = sizes.filter((size) => size > 0);
  let sum = 0;
  while (count > 0 && left.length >= count) {
    left.sort((one, other) => other - one);
    const least = left[count - 1] ?? 0;
    sum += least;
    left = left.map((size, n) => (n < count ? size - least : size)).filter((size) => size > 0);
  }
  return sum;
}
