// SPDX-License-Identifier: AGPL-3.0-or-later
import { allocatedFor, usableOf } from "./pools.js";
import { type Replies, refuse } from "./replies.js";
import {
  type Definition,
  diskful,
  hasDrbd,
  type Pool,
  type Resource,
  type SatelliteNode,
  type SnapshotVolume,
  type Volume,
  type VolumeDefinition,
} from "./state.js";
import type { World } from "./world.js";

/** Data that a new replica starts with. */
export type Origin = ReadonlyMap<number, SnapshotVolume>;

/** Puts a definition on a node, without devices; see `World.settle`. */
export async function addDiskful(
  world: World,
  definition: Definition,
  pool: Pool,
  origin?: Origin,
): Promise<Resource> {
  const { node } = pool;
  const peers = diskful(definition).filter((peer) => peer.node !== node);
  const resource = definition.resources.get(node.name) ?? emptyResource(world, definition, node, "diskful");
  const wasHere = definition.resources.has(node.name);
  resource.kind = "diskful";
  resource.client = false;
  resource.deleting = false;
  const synced = peers.length === 0 || origin !== undefined || world.behaviour.syncMs === 0;
  for (const volume of definition.volumes.values()) {
    const from = origin?.get(volume.number);
    const made = await newVolume(world, definition, volume, pool, from);
    resource.volumes.set(volume.number, { ...made, synced });
  }
  resource.props["StorPoolName"] = pool.name;
  if (!wasHere) definition.resources.set(node.name, resource);
  for (const peer of definition.resources.values()) followData(peer);
  if (!synced)
    world.later(world.behaviour.syncMs, async () => {
      for (const volume of resource.volumes.values()) volume.synced = true;
    });
  return resource;
}

async function newVolume(
  world: World,
  definition: Definition,
  volume: VolumeDefinition,
  pool: Pool,
  from: SnapshotVolume | undefined,
): Promise<Volume> {
  const wanted = allocatedFor(definition, volume.size, pool.kind, world.behaviour);
  const allocated = Math.max(wanted, from?.allocated ?? 0);
  if (!hasDrbd(definition)) {
    const data = await newData(world, allocated, from?.data);
    return {
      number: volume.number,
      pool,
      allocated,
      usable: allocated,
      synced: true,
      data,
      uuid: world.uuid(),
    };
  }
  if (volume.usable === undefined) {
    volume.usable = usableOf(definition, volume.size, allocated);
    volume.data = await newData(world, volume.usable, from?.data);
  }
  const { usable, data } = volume;
  return { number: volume.number, pool, allocated, usable, synced: true, data, uuid: world.uuid() };
}

/** Zeros, or what a snapshot has and zeros behind it. */
async function newData(world: World, kib: number, from: number | undefined): Promise<number> {
  const data = world.dataNumber();
  await world.files?.create(data, kib * 1024, from);
  return data;
}

/** Puts a diskless replica on a node. */
export function addDiskless(
  world: World,
  definition: Definition,
  node: SatelliteNode,
  kind: Exclude<Resource["kind"], "diskful">,
  client = false,
): Resource {
  const resource = emptyResource(world, definition, node, kind);
  resource.client = client;
  for (const { number } of definition.volumes.values())
    resource.volumes.set(number, disklessVolume(world, number));
  resource.props["StorPoolName"] = "DfltDisklessStorPool";
  definition.resources.set(node.name, resource);
  followData(resource);
  return resource;
}

/** Takes the disk of a replica away; the device stays. */
export function makeDiskless(world: World, resource: Resource, kind: "diskless" | "tie-breaker"): void {
  resource.kind = kind;
  resource.client = false;
  for (const number of [...resource.volumes.keys()])
    resource.volumes.set(number, disklessVolume(world, number));
  resource.props["StorPoolName"] = "DfltDisklessStorPool";
  followData(resource);
}

function disklessVolume(world: World, number: number): Volume {
  return {
    number,
    pool: undefined,
    allocated: 0,
    usable: 0,
    synced: true,
    data: undefined,
    uuid: world.uuid(),
  };
}

/** Replicas of one DRBD definition have one size and one data; an NVMe initiator has those of its target. */
export function followData({ definition, volumes, kind }: Resource): void {
  if (kind === "nvme-initiator") {
    const [target] = diskful(definition);
    for (const volume of volumes.values()) {
      const { data, usable = 0 } = target?.volumes.get(volume.number) ?? {};
      volume.data = data;
      volume.usable = usable;
    }
    return;
  }
  if (!hasDrbd(definition)) return;
  for (const volume of volumes.values()) {
    const { data, usable } = definition.volumes.get(volume.number) ?? {};
    volume.data = data;
    volume.usable = usable ?? 0;
  }
}

function emptyResource(
  world: World,
  definition: Definition,
  node: SatelliteNode,
  kind: Resource["kind"],
): Resource {
  return {
    definition,
    node,
    kind,
    client: false,
    deleting: false,
    props: {},
    volumes: new Map(),
    nodeId: definition.nextNodeId++,
    created: world.now(),
    uuid: world.uuid(),
    said: "closed",
    known: "closed",
  };
}

/** Removes a replica at once, with the connections that it had. */
export function dropResource(resource: Resource): void {
  const { definition, node } = resource;
  definition.resources.delete(node.name);
  for (const key of [...definition.connections.keys()])
    if (key.split("/").includes(node.name.toUpperCase())) definition.connections.delete(key);
  if (diskful(definition).length > 0 || !hasDrbd(definition)) return;
  if (definition.resources.values().some((other) => other.kind === "diskful")) return;
  for (const volume of definition.volumes.values()) {
    volume.usable = undefined;
    volume.data = undefined;
  }
}

/** Removes a replica, or marks it while its node is offline. */
export function removeResource(resource: Resource): void {
  if (resource.node.online) dropResource(resource);
  else resource.deleting = true;
}

/** What the satellites say about a new replica; fails when it was ordered so, with the replica there. */
export function reportDeployed(world: World, resource: Resource, out: Replies): void {
  const { definition, node } = resource;
  if (world.orders.take("deploy-fails", { node, definition }))
    throw refuse(
      "unknownError",
      `(${node.name}) Failed to create the volumes of resource '${definition.name}'`,
      { reports: ["663A2241-F21CA-000001"], refs: { RscDfn: definition.name, Node: node.name } },
      "resource",
    );
  if (node.online) out.created("resource", `Created resource '${definition.name}' on '${node.name}'`);
  else
    out.say(
      "warnNotConnected",
      `No active connection to satellite '${node.name}'`,
      { details: "The resource is deployed when the satellite is connected again." },
      "node",
    );
}
