// SPDX-License-Identifier: AGPL-3.0-or-later
import type * as z from "zod";
import type { oldToggleArguments, toggleDiskArguments } from "./arguments.js";
import { addDiskful, makeDiskless } from "./deploy.js";
import { same } from "./names.js";
import { type Replies, refuse } from "./replies.js";
import { poolOn, refuseWithoutRoom } from "./room.js";
import { type Definition, diskful, hasDrbd, isDiskful, type Resource } from "./state.js";
import { manageTieBreaker } from "./tiebreaker.js";
import type { Command, World } from "./world.js";

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
