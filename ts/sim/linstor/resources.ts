// SPDX-License-Identifier: AGPL-3.0-or-later
import type * as z from "zod";
import type { resourceCreateArguments, resourcesCreateArguments } from "./arguments.js";
import { finishDeletion } from "./definitions.js";
import { addDiskful, addDiskless, dropResource, removeResource, reportDeployed } from "./deploy.js";
import { changeProperties, type PropertyChanges } from "./properties.js";
import { type Replies, refuse } from "./replies.js";
import { poolOn, refuseWithoutRoom } from "./room.js";
import { type Definition, diskful, isDiskful, type SatelliteNode } from "./state.js";
import { manageTieBreaker } from "./tiebreaker.js";
import { isInUse } from "./use.js";
import type { Command, World } from "./world.js";

type CreateOne = z.output<typeof resourceCreateArguments>;

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

export const resourceModify: Command<PropertyChanges> = async (world, ask, out) => {
  const definition = world.state.usableDefinition(ask.at["definition"] ?? "");
  const resource = world.state.resource(definition, ask.at["node"] ?? "");
  changeProperties(resource.props, ask.body);
  out.modified("resource", `Resource '${definition.name}' on '${resource.node.name}' modified.`);
};
