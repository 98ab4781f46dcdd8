// SPDX-License-Identifier: AGPL-3.0-or-later
import type * as z from "zod";
import type { rollbackArguments } from "./arguments.js";
import { since } from "./behaviour.js";
import { special } from "./codes.js";
import { addDiskful, addDiskless, dropResource, followData } from "./deploy.js";
import { allocatedFor, isZfs, usableOf } from "./pools.js";
import { type Replies, refuse } from "./replies.js";
import { restoreInto } from "./restore.js";
import { isNewest, refuseUnsuccessful, takeSnapshot } from "./snapshots.js";
import {
  type Definition,
  diskful,
  hasDrbd,
  type Pool,
  type Resource,
  type SatelliteNode,
  type SnapshotDefinition,
} from "./state.js";
import { refuseInUse } from "./use.js";
import type { Ask, Command, World } from "./world.js";

/** What a rollback takes away and brings back. */
interface Replica {
  readonly node: SatelliteNode;
  readonly kind: Resource["kind"];
  readonly client: boolean;
  readonly pool: Pool | undefined;
}

type Body = z.output<typeof rollbackArguments>;

/**
 * Brings a snapshot's data back, as the server's version does it: in place, or by way of a safety snapshot, the deletion
 * of all replicas and a restore. Takes its turn by itself, because others see what is in between.
 */
export const snapshotRollback: Command<Body> = async (world, ask, out) => {
  const begun = await world.change(() => begin(world, ask, out));
  if (!begun) return;
  const { snapshot, safety, replicas } = begun;
  const { definition } = snapshot;
  await world.pause(world.behaviour.rollbackMs);
  await world.change(async () => {
    const fails = world.orders.take("rollback-fails", { definition });
    try {
      await bringBack(world, definition, fails ? safety : snapshot, replicas, out);
    } finally {
      definition.snapshots.delete(safety.name);
      definition.rollingBack = false;
    }
    const refs = { RscDfn: definition.name, Snapshot: snapshot.name };
    if (fails)
      throw refuse("unknownError", `Rollback of '${definition.name}' failed; its data is as it was before.`, {
        refs,
      });
    out.modified("snapshot", `Rolled '${definition.name}' back to snapshot '${snapshot.name}'`, { refs });
  });
};

async function begin(
  world: World,
  { at, body }: Ask<Body>,
  out: Replies,
): Promise<{ snapshot: SnapshotDefinition; safety: SnapshotDefinition; replicas: Replica[] } | undefined> {
  const { state, behaviour } = world;
  if (body.zfs_rollback_strategy !== undefined && !since(behaviour, "1.32"))
    throw refuse(special.parseError, "Unable to parse input json.", {
      details: "zfs_rollback_strategy: unknown",
    });
  const definition = state.usableDefinition(at["definition"] ?? "");
  const snapshot = state.snapshot(definition, at["snapshot"] ?? "");
  const inPlace = isInPlace(world, definition, snapshot, body.zfs_rollback_strategy);
  refuseUnsuccessful(snapshot);
  for (const { node } of definition.resources.values())
    if (!node.online)
      throw refuse("notConnected", `No active connection to satellite '${node.name}'`, {
        details: "All satellites of the resource must be connected for a rollback.",
      });
  refuseInUse(world, definition, "roll back");
  if (inPlace) {
    await rollBackInPlace(world, definition, snapshot);
    const refs = { RscDfn: definition.name, Snapshot: snapshot.name };
    out.modified("snapshot", `Rolled '${definition.name}' back to snapshot '${snapshot.name}'`, { refs });
    return undefined;
  }
  const wanted = {
    name: `safety-snap-${world.suffix(10)}`,
    nodes: [],
    props: {},
    flags: ["SAFETY_SNAPSHOT"],
  };
  const safety = await takeSnapshot(world, definition, wanted, out);
  definition.rollingBack = true;
  const replicas = definition.resources.values().map(({ node, kind, client, volumes }) => {
    const [first] = volumes.values();
    return { node, kind, client, pool: first?.pool };
  });
  for (const resource of definition.resources.values()) dropResource(resource);
  for (const other of definition.snapshots.values()) other.renamed = true;
  return { snapshot, safety, replicas };
}

/** Whether the server uses the old way; refuses what the old way cannot do. */
function isInPlace(
  { behaviour }: World,
  definition: Definition,
  snapshot: SnapshotDefinition,
  strategy: Body["zfs_rollback_strategy"],
): boolean {
  if (!since(behaviour, "1.31")) {
    if (definition.sequenceBroken)
      throw refuse("implementationError", "Wrong sequence number of a snapshot.");
    if (!isNewest(snapshot))
      throw refuse("snapshotExists", "Rollback is only allowed with the most recent snapshot");
    for (const { node } of diskful(definition))
      if (!snapshot.instances.has(node.name))
        throw refuse("noSnapshot", `Snapshot '${snapshot.name}' on node '${node.name}' not found.`);
    return true;
  }
  const pools = diskful(definition).flatMap(({ volumes }) =>
    [...volumes.values()].flatMap(({ pool }) => pool ?? []),
  );
  if (!since(behaviour, "1.32") || !pools.every(({ kind }) => isZfs(kind))) return false;
  const property = definition.props["StorDriver/Zfs/RollbackStrategy"]?.toLowerCase();
  const chosen = strategy ?? property ?? behaviour.zfsRollbackStrategy;
  if (chosen === "clone") return false;
  const possible = isNewest(snapshot) && !snapshot.renamed;
  if (chosen === "rollback" && !possible)
    throw refuse(
      "dependentSnapshot",
      `'${snapshot.name}' is not the most recent snapshot of an unchanged volume.`,
      {
        correction: "Use the strategy clone or dynamic.",
      },
    );
  return possible;
}

async function rollBackInPlace(
  world: World,
  definition: Definition,
  snapshot: SnapshotDefinition,
): Promise<void> {
  resetSizes(world, definition, snapshot);
  for (const { node, volumes } of diskful(definition)) {
    const instance = snapshot.instances.get(node.name);
    for (const own of volumes.values()) {
      const from = instance?.volumes.get(own.number);
      const shared = definition.volumes.get(own.number);
      if (!from || !shared) continue;
      // Where the size stays, the room does too.
      const { kind } = from.pool;
      own.allocated = Math.max(from.allocated, allocatedFor(definition, shared.size, kind, world.behaviour));
      if (!hasDrbd(definition)) {
        own.usable = own.allocated;
        own.data = await copied(world, own.usable, from.data);
      } else if (node === diskful(definition)[0]?.node) {
        shared.usable = usableOf(definition, shared.size, own.allocated);
        shared.data = await copied(world, shared.usable, from.data);
      }
    }
  }
  for (const resource of definition.resources.values()) followData(resource);
}

async function copied(world: World, kib: number, from: number | undefined): Promise<number> {
  const data = world.dataNumber();
  await world.files?.create(data, kib * 1024, from);
  return data;
}

/** Sizes go back too, unless the server is too old for it. */
function resetSizes({ behaviour }: World, definition: Definition, snapshot: SnapshotDefinition): void {
  if (!since(behaviour, "1.31.3")) return;
  for (const [number, size] of snapshot.sizes) {
    const volume = definition.volumes.get(number);
    if (volume) volume.size = size;
  }
}

async function bringBack(
  world: World,
  definition: Definition,
  snapshot: SnapshotDefinition,
  replicas: readonly Replica[],
  out: Replies,
): Promise<void> {
  resetSizes(world, definition, snapshot);
  await restoreInto(world, snapshot, definition, {}, out);
  for (const { node, kind, client, pool } of replicas) {
    const there = definition.resources.get(node.name);
    if (there?.kind === kind) continue;
    // Chosen by the restore as a tie-breaker, where something else was.
    if (there) dropResource(there);
    if (kind === "diskful" && pool) await addDiskful(world, definition, pool);
    else if (kind !== "diskful") addDiskless(world, definition, node, kind, client);
  }
}
