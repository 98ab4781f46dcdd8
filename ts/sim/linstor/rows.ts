// SPDX-License-Identifier: AGPL-3.0-or-later
import { isFile, isZfs } from "./pools.js";
import {
  type Definition,
  diskful,
  hasDrbd,
  type LayerKind,
  type Pool,
  type Resource,
  type Volume,
  type VolumeDefinition,
} from "./state.js";
import { isInUse } from "./use.js";
import type { World } from "./world.js";

type Row = Record<string, unknown>;

/** Path of a volume in its pool, as the satellite reports it. */
function storagePath(
  { name }: Definition,
  { number, minor }: VolumeDefinition,
  { kind, backing }: Pool,
): string {
  const volume = `${name}_${String(number).padStart(5, "0")}`;
  if (isFile(kind)) return `/dev/loop${minor}`;
  return isZfs(kind) ? `/dev/zvol/${backing}/${volume}` : `/dev/${backing.split("/")[0]}/${volume}`;
}

/** Path of the device of one layer. */
function layerPath(resource: Resource, volume: VolumeDefinition, layer: LayerKind): string {
  const { definition, kind } = resource;
  const number = String(volume.number).padStart(5, "0");
  if (layer === "DRBD") return `/dev/drbd${volume.minor}`;
  if (layer === "NVME" && kind === "nvme-initiator") return `/dev/nvme${volume.minor}n1`;
  if (layer === "LUKS") return `/dev/mapper/Linstor-Crypt-${definition.name}_${number}`;
  const pool = resource.volumes.get(volume.number)?.pool;
  return pool ? storagePath(definition, volume, pool) : "";
}

/** Path of the device that is used, undefined where there is none. */
export function devicePath(resource: Resource, volume: VolumeDefinition): string | undefined {
  const [top = "STORAGE"] = resource.definition.layers;
  return layerPath(resource, volume, top) || undefined;
}

/** A row of the resource view, or of the list without volumes. */
export function resourceRow(world: World, resource: Resource, withVolumes: boolean): Row {
  const { definition, node, props, uuid, created } = resource;
  const stack = hasDrbd(definition) || world.behaviour.storageInUse;
  const row: Row = {
    name: definition.name,
    node_name: node.name,
    props,
    flags: flagsOf(resource),
    layer_object: layerObject(world, resource, definition.layers),
    uuid,
    create_timestamp: created,
  };
  if (node.online && stack) row["state"] = { in_use: isInUse(world, resource) };
  if (withVolumes)
    row["volumes"] = [...definition.volumes.values()].map((volume) => volumeRow(resource, volume));
  return row;
}

function flagsOf({ kind, deleting, definition }: Resource): string[] {
  const flags: string[] = [];
  if (kind === "diskless") flags.push("DISKLESS", "DRBD_DISKLESS");
  if (kind === "tie-breaker") flags.push("DISKLESS", "DRBD_DISKLESS", "TIE_BREAKER");
  if (kind === "nvme-initiator") flags.push("DISKLESS", "NVME_INITIATOR");
  if (deleting) flags.push("DELETE", ...(hasDrbd(definition) ? ["DRBD_DELETE"] : []));
  return flags;
}

function volumeRow(resource: Resource, definition: VolumeDefinition): Row {
  const { definition: owner, node, volumes, kind } = resource;
  const volume = volumes.get(definition.number);
  const drbd = hasDrbd(owner);
  const peers = diskful(owner).filter((peer) => peer !== resource && peer.node.online);
  const states = peers.map((peer) => {
    const synced = volume?.synced && peer.volumes.get(definition.number)?.synced;
    return [peer.node.name, { replication_state: synced ? "Established" : syncing(volume) }];
  });
  return {
    volume_number: definition.number,
    storage_pool_name: volume?.pool?.name ?? "DfltDisklessStorPool",
    provider_kind: volume?.pool?.kind ?? "DISKLESS",
    device_path: devicePath(resource, definition),
    allocated_size_kib: kind === "diskful" ? volume?.allocated : undefined,
    usable_size_kib: volume?.usable,
    props: {},
    state: node.online
      ? {
          disk_state: diskState(resource, volume),
          replication_states: drbd && volume?.pool ? Object.fromEntries(states) : undefined,
        }
      : undefined,
    layer_data_list: owner.layers.map((type) => ({ type, data: layerVolume(resource, definition, type) })),
    uuid: volume?.uuid,
  };
}

function syncing(volume: Volume | undefined): string {
  return volume?.synced ? "SyncSource" : "SyncTarget";
}

function diskState({ definition }: Resource, volume: Volume | undefined): string {
  if (!hasDrbd(definition)) return "Created";
  if (!volume?.pool) return "Diskless";
  return volume.synced ? "UpToDate" : "Inconsistent";
}

/** The stack, the upper layer first. */
function layerObject(world: World, resource: Resource, layers: readonly LayerKind[]): Row | undefined {
  const [layer, ...below] = layers;
  if (layer === undefined) return undefined;
  const child = layerObject(world, resource, below);
  const row: Row = { type: layer, children: child && resource.kind === "diskful" ? [child] : undefined };
  const volumes = [...resource.definition.volumes.values()].map((one) => layerVolume(resource, one, layer));
  if (layer === "DRBD") row["drbd"] = drbdLayer(world, resource, volumes);
  else if (layer === "STORAGE") row["storage"] = { storage_volumes: volumes };
  else row[layer.toLowerCase()] = { [`${layer.toLowerCase()}_volumes`]: volumes };
  return row;
}

function drbdLayer(world: World, resource: Resource, volumes: unknown): Row {
  const { definition, node, nodeId, kind } = resource;
  const primary = node.online && isInUse(world, resource);
  const peers = definition.resources.values().filter((peer) => peer !== resource);
  const connections = peers.map((peer) => [
    peer.node.name,
    node.linked && peer.node.linked
      ? { connected: true, message: "Connected" }
      : { connected: false, message: "Connecting" },
  ]);
  return {
    drbd_resource_definition: { peer_slots: 7, transport_type: "IP", secret: "generated", down: false },
    node_id: nodeId,
    tcp_ports: [definition.port],
    peer_slots: 7,
    flags: kind === "diskful" ? undefined : ["DISKLESS"],
    drbd_volumes: volumes,
    connections: node.online ? Object.fromEntries(connections) : undefined,
    promotion_score: node.online ? (kind === "diskful" ? 10_102 : 1) : undefined,
    may_promote: node.online ? !primary : undefined,
  };
}

function layerVolume(resource: Resource, definition: VolumeDefinition, layer: LayerKind): Row | undefined {
  const { kind, volumes, definition: owner } = resource;
  const volume = volumes.get(definition.number);
  const path = layerPath(resource, definition, layer);
  const below = owner.layers[owner.layers.indexOf(layer) + 1];
  const backing = below && kind === "diskful" ? layerPath(resource, definition, below) : undefined;
  const sizes = kind === "diskful" ? { allocated_size_kib: volume?.allocated } : {};
  if (layer === "STORAGE") {
    if (kind !== "diskful") return undefined;
    const { number } = definition;
    return { volume_number: number, device_path: path, ...sizes, usable_size_kib: volume?.allocated };
  }
  if (layer !== "DRBD")
    return {
      volume_number: definition.number,
      device_path: path,
      backing_device: backing,
      ...sizes,
      usable_size_kib: volume?.usable,
    };
  return {
    drbd_volume_definition: { volume_number: definition.number, minor_number: definition.minor },
    device_path: path,
    backing_device: backing,
    meta_disk: kind === "diskful" ? "internal" : undefined,
    ...sizes,
    usable_size_kib: volume?.usable,
  };
}
