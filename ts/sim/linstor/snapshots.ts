// SPDX-License-Identifier: AGPL-3.0-or-later
import type * as z from "zod";
import type { multiSnapshotArguments, snapshotArguments } from "./arguments.js";
import { since } from "./behaviour.js";
import { checkName, Names } from "./names.js";
import { supportsSnapshots } from "./pools.js";
import { changeProperties, checkProperties, type PropertyChanges } from "./properties.js";
import { type Replies, refuse } from "./replies.js";
import {
  type Definition,
  diskful,
  type Properties,
  type Resource,
  type SnapshotDefinition,
  type SnapshotVolume,
} from "./state.js";
import type { Command, World } from "./world.js";

export const successful = "SUCCESSFUL";
const failed = "FAILED_DEPLOYMENT";
/** Marked as deleted, and still on a node that is offline. */
const leaving = "DELETE";

interface Wanted {
  readonly name: string;
  readonly nodes: readonly string[];
  readonly props: Properties;
  readonly flags?: readonly string[];
}

export const snapshotCreate: Command<z.output<typeof snapshotArguments>> = async (
  world,
  { at, body },
  out,
) => {
  const definition = world.state.usableDefinition(at["definition"] ?? "");
  await takeSnapshot(world, definition, wantedOf(body), out);
};

/** All of them, while nobody else changes anything. */
export const multiSnapshot: Command<z.output<typeof multiSnapshotArguments>> = async (
  world,
  { body },
  out,
) => {
  const all = body.snapshots.map((one) => {
    const definition = world.state.usableDefinition(one.resource_name);
    return { definition, wanted: wantedOf(one), from: replicasFor(world, definition, wantedOf(one)) };
  });
  for (const { definition, wanted } of all) await takeSnapshot(world, definition, wanted, out);
};

function wantedOf(body: z.output<typeof snapshotArguments>): Wanted {
  return { name: body.name, nodes: body.nodes, props: { ...body.props, ...body.snapshot_definition_props } };
}

/** The replicas that a snapshot is taken of, or a refusal; offline ones are among them. */
function replicasFor(world: World, definition: Definition, { name, nodes, props }: Wanted): Resource[] {
  checkName("snapshot", name);
  checkProperties(props);
  const refs = { RscDfn: definition.name, Snapshot: name };
  if (definition.snapshots.has(name))
    throw refuse(
      "snapshotExists",
      `A snapshot definition with the name '${name}' already exists in resource definition '${definition.name}'.`,
      { refs, details: `Resource: ${definition.name}, Snapshot: ${name}` },
    );
  if ((definition.props["DrbdOptions/SkipDisk"] ?? "").toLowerCase() === "true")
    throw refuse("snapshotNotUpToDate", `'${definition.name}' has SkipDisk set.`, { refs });
  const named = nodes.map((node) => world.state.resource(definition, node));
  const from = nodes.length === 0 ? diskful(definition) : named.filter(({ kind }) => kind === "diskful");
  if (from.length === 0)
    throw refuse(
      "snapshotsUnsupported",
      `No diskful replica of '${definition.name}' to take a snapshot of.`,
      { refs },
    );
  for (const { node, volumes } of from)
    for (const { pool } of volumes.values())
      if (pool && !supportsSnapshots(pool.kind, world.behaviour))
        throw refuse("snapshotsUnsupported", `Storage driver '${pool.kind}' does not support snapshots.`, {
          details: `Used for storage pool '${pool.name}' on '${node.name}'.`,
          refs,
        });
  if (!from.some(({ node }) => node.online))
    throw refuse("notConnected", `No active connection to a satellite with '${definition.name}'.`, { refs });
  return from;
}

/** Makes a snapshot of all replicas whose nodes can be reached. */
export async function takeSnapshot(
  world: World,
  definition: Definition,
  wanted: Wanted,
  out: Replies,
): Promise<SnapshotDefinition> {
  const from = replicasFor(world, definition, wanted);
  const { name } = wanted;
  const refs = { RscDfn: definition.name, Snapshot: name };
  const made: SnapshotDefinition = {
    name,
    definition,
    sequence: Math.max(0, ...definition.snapshots.values().map(({ sequence }) => sequence)) + 1,
    flags: [...(wanted.flags ?? []), successful],
    renamed: false,
    props: { ...wanted.props },
    definitionProps: { ...definition.props },
    sizes: new Map([...definition.volumes.values()].map(({ number, size }) => [number, size])),
    instances: new Names(),
    uuid: world.uuid(),
  };
  const copies = new Map<number, number>();
  for (const { node, volumes } of from) {
    if (!node.online || node.flags.has("EVACUATE")) {
      out.say(
        "warnNotConnected",
        `Snapshot '${name}' is not taken on '${node.name}': not connected.`,
        {},
        "node",
      );
      continue;
    }
    const taken = new Map<number, SnapshotVolume>();
    for (const { number, pool, allocated, usable, data } of volumes.values())
      if (pool)
        taken.set(number, { pool, allocated, usable, data: await copyOf(world, data, usable, copies) });
    made.instances.set(node.name, {
      node,
      deleting: false,
      created: world.now(),
      uuid: world.uuid(),
      volumes: taken,
    });
  }
  definition.snapshots.set(name, made);
  if (world.orders.take("snapshot-fails", { definition })) {
    made.flags = [...(wanted.flags ?? []), failed];
    throw refuse(
      "unknownError",
      `(${from[0]?.node.name}) Failed to take snapshot '${name}'`,
      { refs },
      "snapshot",
    );
  }
  out.created("snapshot", `New snapshot '${name}' of resource '${definition.name}' registered.`, { refs });
  for (const { node } of made.instances.values())
    out.created("snapshot", `Took snapshot of '${definition.name}' on '${node.name}'`);
  return made;
}

/** One copy for all replicas that share their data. */
async function copyOf(
  world: World,
  data: number | undefined,
  usable: number,
  copies: Map<number, number>,
): Promise<number | undefined> {
  if (data === undefined) return undefined;
  const known = copies.get(data);
  if (known !== undefined) return known;
  const copy = world.dataNumber();
  await world.files?.create(copy, usable * 1024, data);
  copies.set(data, copy);
  return copy;
}

export const snapshotDelete: Command = async (world, { at, query }, out) => {
  const definition = world.state.definitions.get(at["definition"] ?? "");
  const snapshot = definition?.snapshots.get(at["snapshot"] ?? "");
  if (!definition || !snapshot)
    return out.say(
      "warnNotFound",
      `Snapshot '${at["snapshot"]}' of resource '${at["definition"]}' not found.`,
    );
  if (definition.rollingBack)
    throw refuse("inUse", `Snapshot '${snapshot.name}' of '${definition.name}' is being restored.`);
  const only = query.getAll("nodes").map((name) => snapshot.instances.get(name));
  const instances = only.length === 0 ? snapshot.instances.values() : only;
  for (const instance of instances) if (instance) instance.deleting = true;
  if (only.length === 0 && !snapshot.flags.includes(leaving)) snapshot.flags = [...snapshot.flags, leaving];
  finishSnapshot(world, snapshot);
  const refs = { RscDfn: definition.name, Snapshot: snapshot.name };
  for (const { node } of snapshot.instances.values().filter(({ deleting }) => deleting))
    out.say("warnNotConnected", `No active connection to satellite '${node.name}'`, {}, "node");
  const what = `Snapshot '${snapshot.name}' of resource '${definition.name}'`;
  const gone = !definition.snapshots.has(snapshot.name);
  out.deleted("snapshot", `${what} ${gone ? "deleted" : "marked for deletion"}.`, { refs });
};

/** Removes what is to go from the nodes that can be reached; without instances the snapshot goes itself. */
export function finishSnapshot(world: World, snapshot: SnapshotDefinition): void {
  const { definition, instances } = snapshot;
  for (const { node, deleting } of instances.values())
    if (deleting && node.online) instances.delete(node.name);
  if (instances.size > 0) return;
  if (!isNewest(snapshot) && !since(world.behaviour, "1.31.2")) definition.sequenceBroken = true;
  definition.snapshots.delete(snapshot.name);
}

export const snapshotModify: Command<PropertyChanges> = async ({ state }, { at, body }, out) => {
  const snapshot = state.snapshot(state.definition(at["definition"] ?? ""), at["snapshot"] ?? "");
  changeProperties(snapshot.props, body);
  out.modified("snapshot", `Snapshot '${snapshot.name}' of '${snapshot.definition.name}' modified.`);
};

export function isNewest({ definition, sequence }: SnapshotDefinition): boolean {
  return definition.snapshots.values().every((other) => other.sequence <= sequence);
}

export function refuseUnsuccessful({ name, flags, definition }: SnapshotDefinition): void {
  if (!flags.includes(successful) || flags.includes(leaving))
    throw refuse("unknownError", `Unable to use failed snapshot '${name}' of '${definition.name}'`);
}
