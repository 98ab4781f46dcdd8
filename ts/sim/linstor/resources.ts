// SPDX-License-Identifier: AGPL-3.0-or-later
import type * as z from "zod";
import type {
  autoplaceArguments,
  makeAvailableArguments,
  oldToggleArguments,
  resourceCreateArguments,
  resourcesCreateArguments,
  toggleDiskArguments,
} from "./arguments.js";
import { since } from "./behaviour.js";
import { finishDeletion } from "./definitions.js";
import {
  addDiskful,
  addDiskless,
  dropResource,
  makeDiskless,
  removeResource,
  reportDeployed,
} from "./deploy.js";
import { same } from "./names.js";
import { choose, isPlaceable, mergeFilters, needed } from "./placement.js";
import { largestIn } from "./pools.js";
import { changeProperties } from "./properties.js";
import { type Replies, refuse } from "./replies.js";
import {
  type Definition,
  diskful,
  hasDrbd,
  isDiskful,
  type Pool,
  type Resource,
  type SatelliteNode,
  type SelectFilter,
} from "./state.js";
import { manageTieBreaker } from "./tiebreaker.js";
import { isInUse } from "./use.js";
import type { Command, World } from "./world.js";

type CreateOne = z.output<typeof resourceCreateArguments>;

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

/** Makes a device appear on a node, by whatever is least. */
export const makeAvailable: Command<z.output<typeof makeAvailableArguments>> = async (world, ask, out) => {
  const { state, behaviour } = world;
  const { body } = ask;
  const definition = state.usableDefinition(ask.at["definition"] ?? "");
  const node = state.node(ask.at["node"] ?? "");
  const refs = { RscDfn: definition.name, Node: node.name };
  if (body.layer_list?.length && body.layer_list.join() !== definition.layers.join())
    throw refuse("invalidLayerStack", "Layerstack of deployed resource does not match", { refs });
  if (!node.online && behaviour.availableOffline === "error")
    throw refuse("notConnected", `No active connection to satellite '${node.name}'`, { refs });
  const there = definition.resources.get(node.name);
  if (there) {
    there.deleting = false;
    if (there.kind === "diskful" || !body.diskful || !hasDrbd(definition)) {
      if (there.kind === "tie-breaker") there.kind = "diskless";
      return out.success("Resource already deployed as requested");
    }
    await addDiskful(world, definition, poolOn(world, definition, node));
    manageTieBreaker(world, definition, out);
    return reportDeployed(world, there, out);
  }
  const made = await place(world, definition, node, body.diskful);
  manageTieBreaker(world, definition, out);
  reportDeployed(world, made, out);
};

async function place(
  world: World,
  definition: Definition,
  node: SatelliteNode,
  wantsDisk: boolean,
): Promise<Resource> {
  const refs = { RscDfn: definition.name, Node: node.name };
  if (definition.layers[0] === "NVME" && diskful(definition).length > 0)
    return addDiskless(world, definition, node, "nvme-initiator");
  if (hasDrbd(definition) && !node.layers.includes("DRBD"))
    throw refuse(
      "layerUnsupported",
      `Satellite '${node.name}' does not support the following layers: [DRBD]`,
      {
        refs,
      },
    );
  if (hasDrbd(definition) && !wantsDisk && diskful(definition).length > 0)
    return addDiskless(world, definition, node, "diskless", since(world.behaviour, "1.34"));
  // Also without DRBD, where it is a second, independent copy.
  return addDiskful(world, definition, poolOn(world, definition, node));
}

/** The pool that a placer limited to one node chooses. */
function poolOn({ state, behaviour }: World, definition: Definition, node: SatelliteNode): Pool {
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

export const resourceCreate: Command<CreateOne> = async (world, ask, out) => {
  const definition = world.state.usableDefinition(ask.at["definition"] ?? "");
  const node = world.state.node(ask.at["node"] ?? "");
  await createOne(world, definition, node, ask.body, out);
  manageTieBreaker(world, definition, out);
};

export const resourcesCreate: Command<z.output<typeof resourcesCreateArguments>> = async (
  world,
  ask,
  out,
) => {
  const definition = world.state.usableDefinition(ask.at["definition"] ?? "");
  for (const one of ask.body) {
    const node = world.state.node(one.resource.node_name ?? "");
    await createOne(world, definition, node, one, out);
  }
  manageTieBreaker(world, definition, out);
};

async function createOne(
  world: World,
  definition: Definition,
  node: SatelliteNode,
  { resource, drbd_client }: CreateOne,
  out: Replies,
): Promise<void> {
  const there = definition.resources.get(node.name);
  const refs = { RscDfn: definition.name, Node: node.name };
  const flags = new Set(resource.flags);
  if (there && there.kind !== "tie-breaker")
    throw refuse("resourceExists", `Resource '${definition.name}' on node '${node.name}' already exists.`, {
      refs,
    });
  if (there) dropResource(there);
  if (flags.has("NVME_INITIATOR"))
    return reportDeployed(world, addDiskless(world, definition, node, "nvme-initiator"), out);
  if (flags.has("DISKLESS") || flags.has("DRBD_DISKLESS") || drbd_client)
    return reportDeployed(world, addDiskless(world, definition, node, "diskless", drbd_client), out);
  const name = resource.props["StorPoolName"] ?? definition.group.filter.storage_pool_list?.[0];
  const pool = name === undefined ? poolOn(world, definition, node) : node.pools.get(name);
  if (!pool) throw refuse("noPool", `Storage pool '${name}' on node '${node.name}' not found.`, { refs });
  refuseWithoutRoom(world, definition, pool);
  reportDeployed(world, await addDiskful(world, definition, pool), out);
}

export function refuseWithoutRoom({ state, behaviour }: World, definition: Definition, pool: Pool): void {
  if (needed(definition, pool, behaviour) <= largestIn(pool, state, behaviour)) return;
  throw refuse(
    "invalidVolumeSize",
    `Not enough free space available for volume 0 of resource '${definition.name}'.`,
    { refs: { RscDfn: definition.name, Node: pool.node.name, StorPool: pool.name } },
    "volume",
  );
}

/** Deletes the resource of one node; a tie-breaker may stay. */
export const resourceDelete: Command = async (world, { at, query }, out) => {
  const { state } = world;
  const definition = state.definitions.get(at["definition"] ?? "");
  const resource = definition?.resources.get(at["node"] ?? "");
  if (!definition || !resource)
    return out.say("warnNotFound", `Node: ${at["node"]}, Resource: ${at["definition"]} not found.`);
  state.usableDefinition(definition.name);
  const keep = (query.get("keep_tiebreaker") ?? "").toLowerCase() === "true";
  const what = `Resource '${definition.name}' on node '${resource.node.name}'`;
  const refs = { RscDfn: definition.name, Node: resource.node.name };
  if (resource.node.online && isInUse(world, resource))
    throw refuse("inUse", `${what} is still in use.`, {
      cause: "Resource is mounted/in use.",
      correction: "Un-mount the resource, or make it secondary.",
      refs,
    });
  const users = definition.resources
    .values()
    .filter((other) => !isDiskful(other) && other.kind !== "tie-breaker");
  if (isDiskful(resource) && diskful(definition).length === 1 && users.length > 0)
    throw refuse(
      "inUse",
      `Last resource of '${definition.name}' with disk still has diskless resources attached.`,
      {
        details: `Diskless on ${users.map(({ node }) => node.name).join(", ")}`,
        refs,
      },
    );
  if (manageTieBreaker(world, definition, out, { leaving: resource, keep })) return;
  removeResource(resource);
  finishDeletion(world, definition);
  if (!resource.node.online)
    out.say("warnNotConnected", `No active connection to satellite '${resource.node.name}'`, {}, "node");
  else
    out.modified("resource", `Notified '${resource.node.name}' that '${definition.name}' is being deleted`);
  out.deleted("resource", `${what} ${resource.node.online ? "deleted" : "marked for deletion"}.`, { refs });
};

export const resourceModify: Command<Parameters<typeof changeProperties>[1]> = async (world, ask, out) => {
  const definition = world.state.usableDefinition(ask.at["definition"] ?? "");
  const resource = world.state.resource(definition, ask.at["node"] ?? "");
  changeProperties(resource.props, ask.body);
  out.modified("resource", `Resource '${definition.name}' on '${resource.node.name}' modified.`);
};

/** Since 1.34: one request for all directions. */
export const toggleDisk: Command<z.output<typeof toggleDiskArguments>> = async (world, ask, out) => {
  const { operation, storage_pool } = ask.body;
  if (operation === "INTO_DRBD_DISKFUL") return intoDiskful(world, ask.at, storage_pool, out);
  await intoDiskless(world, ask.at, operation === "INTO_DRBD_CLIENT", out);
};

export const toggleDiskful: Command<z.output<typeof oldToggleArguments>> = async (world, { at }, out) =>
  intoDiskful(world, at, at["pool"], out);

export const toggleDiskless: Command<z.output<typeof oldToggleArguments>> = async (world, { at }, out) =>
  intoDiskless(world, at, false, out);

async function intoDiskful(
  world: World,
  at: Readonly<Record<string, string>>,
  poolName: string | undefined,
  out: Replies,
): Promise<void> {
  const { definition, resource } = found(world, at);
  const { node } = resource;
  if (isDiskful(resource))
    return out.say(
      "warnAlreadyHasDisk",
      `Resource '${definition.name}' on '${node.name}' has a disk already.`,
    );
  const pool = poolName === undefined ? poolOn(world, definition, node) : node.pools.get(poolName);
  if (!pool) throw refuse("noPool", `Storage pool '${poolName}' on node '${node.name}' not found.`);
  refuseWithoutRoom(world, definition, pool);
  await addDiskful(world, definition, pool);
  manageTieBreaker(world, definition, out);
  out.modified(
    "resource",
    `Addition of disk to resource '${definition.name}' on node '${node.name}' registered`,
  );
}

async function intoDiskless(
  world: World,
  at: Readonly<Record<string, string>>,
  client: boolean,
  out: Replies,
): Promise<void> {
  const { definition, resource } = found(world, at);
  const { node } = resource;
  if (!isDiskful(resource))
    return out.say(
      "warnAlreadyDiskless",
      `Resource '${definition.name}' on '${node.name}' has no disk already.`,
    );
  if (diskful(definition).length === 1)
    throw refuse("insufficientReplicas", `'${definition.name}' on '${node.name}' has the last disk.`);
  makeDiskless(world, resource, "diskless");
  resource.client = client;
  manageTieBreaker(world, definition, out);
  out.modified(
    "resource",
    `Removal of disk from resource '${definition.name}' on node '${node.name}' registered`,
  );
}

function found(
  { state }: World,
  at: Readonly<Record<string, string>>,
): { definition: Definition; resource: Resource } {
  const definition = state.usableDefinition(at["definition"] ?? "");
  if (!hasDrbd(definition))
    throw refuse("invalidLayerStack", "Toggle disk is only supported in combination with DRBD");
  const resource = definition.resources.values().find(({ node }) => same(node.name, at["node"] ?? ""));
  if (!resource)
    throw refuse("noResource", `Resource '${definition.name}' on node '${at["node"]}' not found.`);
  return { definition, resource };
}
