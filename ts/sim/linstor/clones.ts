// SPDX-License-Identifier: AGPL-3.0-or-later
import type * as z from "zod";
import type { cloneArguments } from "./arguments.js";
import { since } from "./behaviour.js";
import { special } from "./codes.js";
import { createDefinition } from "./definitions.js";
import { addDiskful } from "./deploy.js";
import { isFile } from "./pools.js";
import { changeProperties, isEmptyChange } from "./properties.js";
import { Replies, refuse, shownEntries } from "./replies.js";
import { refuseWithoutRoom } from "./room.js";
import { type Clone, type Definition, diskful, type SnapshotVolume } from "./state.js";
import { manageTieBreaker } from "./tiebreaker.js";
import type { Command, Query, World } from "./world.js";

type Body = z.output<typeof cloneArguments>;
interface Copy {
  readonly node: string;
  readonly volumes: Map<number, SnapshotVolume>;
}

/** Begins a clone: the definition is there at once, its replicas when the data is. */
export const cloneStart: Command<Body> = async (world, { at, body }, out) => {
  const { state, behaviour } = world;
  const source = state.usableDefinition(at["definition"] ?? "");
  if (!isEmptyChange(body) && !(behaviour.cloneProperties && since(behaviour, "1.32")))
    throw refuse(special.parseError, "Unable to parse input json.", { details: "override_props: unknown" });
  refuseUnclonable(source);
  const group = body.resource_group === undefined ? source.group : state.group(body.resource_group);
  const props = { ...source.props };
  changeProperties(props, body);
  const sizes = [...source.volumes.values()].map(({ number, size }) => ({ number, size }));
  const wanted = {
    name: body.name,
    externalName: body.external_name,
    group,
    props,
    layers: source.layers,
    sizes,
  };
  const target = createDefinition(world, wanted, out);
  target.cloning = "under way";
  try {
    for (const { volumes } of diskful(source))
      for (const { pool } of volumes.values()) if (pool) refuseWithoutRoom(world, target, pool);
  } catch (error) {
    state.definitions.delete(target.name);
    throw error;
  }
  const clone: Clone = { source: source.name, name: target.name, status: "CLONING" };
  state.clones.push(clone);
  const copies = await copyReplicas(world, source);
  world.later(behaviour.cloneMs, () => finish(world, clone, target, copies));
  return {
    location: `/v1/resource-definitions/${source.name}/clone/${target.name}`,
    source_name: source.name,
    clone_name: target.name,
    messages: shownEntries(out.entries, new Date(world.now()).toISOString()),
  };
};

function refuseUnclonable(source: Definition): void {
  const refs = { RscDfn: source.name };
  if ((source.props["DrbdOptions/SkipDisk"] ?? "").toLowerCase() === "true")
    throw refuse("invalidResourceState", `'${source.name}' has SkipDisk set.`, { refs });
  if (diskful(source).length === 0)
    throw refuse("notAllUpToDate", `'${source.name}' has no replica that is UpToDate.`, { refs });
  for (const { node, volumes } of diskful(source))
    for (const { pool, synced } of volumes.values()) {
      if (!synced)
        throw refuse("notAllUpToDate", `'${source.name}' on '${node.name}' is not UpToDate.`, { refs });
      if (pool && isFile(pool.kind))
        throw refuse("invalidProvider", `Storage pool '${pool.name}' of kind ${pool.kind} cannot clone.`, {
          refs,
        });
    }
}

/** The data as it is now, held by a copy that the clone takes over. */
async function copyReplicas(world: World, source: Definition): Promise<Copy[]> {
  const copies: Copy[] = [];
  for (const { node, volumes } of diskful(source)) {
    const held = new Map<number, SnapshotVolume>();
    for (const { number, pool, allocated, usable, data } of volumes.values())
      if (pool) held.set(number, { pool, allocated, usable, data: await world.hold(data, usable) });
    copies.push({ node: node.name, volumes: held });
  }
  return copies;
}

async function finish(
  world: World,
  clone: Clone,
  target: Definition,
  copies: readonly Copy[],
): Promise<void> {
  const { state } = world;
  const nodes = copies.map(({ node }) => state.node(node));
  const lost =
    nodes.some(({ online }) => !online) || world.orders.take("clone-node-lost", { definition: target });
  const there = state.definitions.get(target.name) === target && !target.deleting;
  if (lost || !there) {
    clone.status = "FAILED";
    target.cloning = "failed";
  } else {
    for (const { volumes } of copies) {
      const [first] = volumes.values();
      if (first) await addDiskful(world, target, first.pool, volumes);
    }
    manageTieBreaker(world, target, new Replies("none", "none"));
    target.cloning = "no";
    clone.status = "COMPLETE";
  }
  for (const { volumes } of copies) for (const { data } of volumes.values()) world.release(data);
}

export const cloneStatus: Query = ({ state }, { at }) => {
  const source = state.definition(at["definition"] ?? "");
  const target = (at["clone"] ?? "").toUpperCase();
  const found = state.clones.findLast(
    (clone) => clone.source === source.name && clone.name.toUpperCase() === target,
  );
  if (!found || !state.definitions.has(found.name))
    throw refuse("noDefinition", `Resource definition '${at["clone"]}' is no clone of '${source.name}'.`);
  return { status: found.status };
};
