// SPDX-License-Identifier: AGPL-3.0-or-later
import type * as z from "zod";
import type { autoplaceArguments } from "./arguments.js";
import { addDiskful, addDiskless, reportDeployed } from "./deploy.js";
import { choose, isPlaceable, mergeFilters } from "./placement.js";
import { type Replies, refuse } from "./replies.js";
import { type Definition, diskful, hasDrbd, type Resource, type SelectFilter } from "./state.js";
import { manageTieBreaker } from "./tiebreaker.js";
import type { Command, World } from "./world.js";

/** Places what is missing to the place count, and says so. */
export async function autoplace(
  world: World,
  definition: Definition,
  filter: SelectFilter,
  out: Replies,
): Promise<void> {
  const { state, behaviour } = world;
  const present = diskful(definition).filter(({ node }) => node.flags.size === 0);
  const count = filter.additional_place_count ?? (filter.place_count ?? 0) - present.length;
  const refs = { RscDfn: definition.name };
  if (count < 0)
    throw refuse(
      "invalidPlaceCount",
      `The resource '${definition.name}' was already deployed on ${present.length} nodes.`,
      { details: `Place count: ${filter.place_count}`, refs },
      "resource",
    );
  if (count === 0 && !filter.diskless_on_remaining) {
    out.say(
      "warnAlreadyDeployed",
      `The resource '${definition.name}' was already deployed on ${present.length} nodes.`,
      { details: `Skipping ${present.map(({ node }) => node.name).join(", ")}`, refs },
      "resource",
    );
    return;
  }
  const pools = count === 0 ? [] : choose(state, behaviour, { definition, filter, count });
  if (!pools)
    throw refuse(
      "notEnoughNodes",
      "Not enough available nodes",
      {
        details: `Not enough nodes fulfilling the following auto-place criteria: ${describe(filter, count)}`,
        refs,
      },
      "resource",
    );
  out.success(
    `Resource '${definition.name}' successfully autoplaced on ${pools.length} nodes: ${pools.map(({ node }) => node.name).join(", ")}`,
  );
  const made: Resource[] = [];
  for (const pool of pools) made.push(await addDiskful(world, definition, pool));
  if (filter.diskless_on_remaining)
    for (const node of state.nodes.values())
      if (hasDrbd(definition) && isPlaceable(node, {}) && !definition.resources.has(node.name))
        made.push(addDiskless(world, definition, node, "diskless"));
  manageTieBreaker(world, definition, out);
  for (const resource of made) reportDeployed(world, resource, out);
}

function describe(filter: SelectFilter, count: number): string {
  const pools = filter.storage_pool_list?.join(", ") ?? filter.storage_pool ?? "any storage pool";
  return `${count} more nodes, ${pools}`;
}

export const resourceAutoplace: Command<z.output<typeof autoplaceArguments>> = async (world, ask, out) => {
  const definition = world.state.usableDefinition(ask.at["definition"] ?? "");
  const { body } = ask;
  const filter = mergeFilters(body.select_filter, definition.group.filter);
  await autoplace(
    world,
    definition,
    body.diskless_on_remaining ? { ...filter, diskless_on_remaining: true } : filter,
    out,
  );
};
