// SPDX-License-Identifier: AGPL-3.0-or-later
import type * as z from "zod";
import type { restoreArguments } from "./arguments.js";
import { addDiskful, reportDeployed } from "./deploy.js";
import { type Replies, refuse } from "./replies.js";
import { refuseWithoutRoom } from "./room.js";
import { refuseUnsuccessful } from "./snapshots.js";
import type { Definition, SnapshotDefinition } from "./state.js";
import { manageTieBreaker } from "./tiebreaker.js";
import { addVolumeDefinition } from "./volume-definitions.js";
import type { Command, World } from "./world.js";

/** The first step of a restore: the volumes' sizes. */
export const restoreVolumeDefinition: Command<z.output<typeof restoreArguments>> = async (
  world,
  ask,
  out,
) => {
  const { snapshot, target } = restoreOf(world, ask.at, ask.body.to_resource);
  for (const [number, size] of snapshot.sizes)
    addVolumeDefinition(world, target, { number, size, props: {} }, out);
};

/** The second step: replicas with the snapshot's data, and its properties. */
export const restoreResource: Command<z.output<typeof restoreArguments>> = async (world, ask, out) => {
  const { snapshot, target } = restoreOf(world, ask.at, ask.body.to_resource);
  const { nodes, stor_pool_rename } = ask.body;
  await restoreInto(world, snapshot, target, { nodes, rename: stor_pool_rename }, out);
  if (world.behaviour.restoreCopiesProperties) Object.assign(target.props, snapshot.definitionProps);
};

function restoreOf(
  { state }: World,
  at: Readonly<Record<string, string>>,
  to: string,
): { snapshot: SnapshotDefinition; target: Definition } {
  const source = state.definition(at["definition"] ?? "");
  const snapshot = state.snapshot(source, at["snapshot"] ?? "");
  const target = state.usableDefinition(to);
  if (target.resources.size > 0)
    throw refuse("resourceExists", "Cannot restore to resource definition which already has resources", {
      refs: { RscDfn: target.name },
    });
  refuseUnsuccessful(snapshot);
  return { snapshot, target };
}

/** Makes replicas of a snapshot's data on its nodes, or on some of them. */
export async function restoreInto(
  world: World,
  snapshot: SnapshotDefinition,
  target: Definition,
  { nodes = [], rename = {} }: { nodes?: readonly string[]; rename?: Readonly<Record<string, string>> },
  out: Replies,
): Promise<void> {
  const chosen =
    nodes.length === 0
      ? snapshot.instances.values()
      : nodes.map((name) => {
          const instance = snapshot.instances.get(world.state.node(name).name);
          if (instance) return instance;
          throw refuse("noSnapshot", `Snapshot '${snapshot.name}' on node '${name}' not found.`, {
            refs: { Node: name, Snapshot: snapshot.name },
          });
        });
  for (const number of snapshot.sizes.keys())
    if (!target.volumes.has(number))
      throw refuse("noVolumeDefinition", `Volume definition '${number}' of '${target.name}' not found.`);
  const placed = chosen.map((instance) => {
    const pools = [...instance.volumes.values()].map(({ pool }) => pool);
    const [first] = pools;
    const pool = first && instance.node.pools.get(rename[first.name] ?? first.name);
    if (!pool) throw refuse("noPool", `Storage pool on node '${instance.node.name}' not found.`);
    refuseWithoutRoom(world, target, pool);
    return { instance, pool };
  });
  for (const { instance, pool } of placed)
    reportDeployed(world, await addDiskful(world, target, pool, instance.volumes), out);
  manageTieBreaker(world, target, out);
}
