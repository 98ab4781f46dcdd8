// SPDX-License-Identifier: AGPL-3.0-or-later
import { Names } from "./names.js";
import { refuse } from "./replies.js";

export type Properties = Record<string, string>;

export const layerKinds = ["DRBD", "LUKS", "STORAGE", "NVME", "WRITECACHE", "CACHE", "BCACHE"] as const;
export type LayerKind = (typeof layerKinds)[number];

export const poolKinds = ["LVM", "LVM_THIN", "ZFS", "ZFS_THIN", "FILE", "FILE_THIN"] as const;
export type PoolKind = (typeof poolKinds)[number];

/** A storage pool of one node. */
export interface Pool {
  readonly name: string;
  readonly node: SatelliteNode;
  readonly kind: PoolKind;
  /** KiB. */
  capacity: number;
  /** Such as `vg/thin`. */
  readonly backing: string;
  readonly props: Properties;
  readonly uuid: string;
}

/** A node with a satellite. */
export interface SatelliteNode {
  readonly name: string;
  /** Folder of the node below the devices directory. */
  readonly dir: string;
  readonly address: string;
  /** The controller reaches the satellite. */
  online: boolean;
  /** DRBD there reaches its peers: also while the satellite alone is down. */
  linked: boolean;
  readonly flags: Set<"EVICTED" | "EVACUATE">;
  readonly layers: readonly LayerKind[];
  readonly props: Properties;
  readonly pools: Names<Pool>;
  readonly uuid: string;
}

/** What the placer goes by; members are as in the API. */
export interface SelectFilter {
  readonly place_count?: number | undefined;
  readonly additional_place_count?: number | undefined;
  readonly node_name_list?: readonly string[] | undefined;
  readonly storage_pool?: string | undefined;
  readonly storage_pool_list?: readonly string[] | undefined;
  readonly replicas_on_same?: readonly string[] | undefined;
  readonly replicas_on_different?: readonly string[] | undefined;
  readonly layer_stack?: readonly string[] | undefined;
  readonly provider_list?: readonly string[] | undefined;
  readonly diskless_on_remaining?: boolean | undefined;
  readonly [member: string]: unknown;
}

export interface Group {
  readonly name: string;
  description: string;
  readonly props: Properties;
  filter: SelectFilter;
  /** Numbers of its volume groups. */
  readonly volumeGroups: number[];
  readonly uuid: string;
}

export interface VolumeDefinition {
  readonly number: number;
  /** KiB, as asked for. */
  size: number;
  /** Of DRBD; the same on all nodes. */
  readonly minor: number;
  readonly props: Properties;
  readonly uuid: string;
  /** KiB of the DRBD device; undefined while it is deployed nowhere. */
  usable: number | undefined;
  /** Number of the data that all replicas share; undefined while there is none, and without DRBD. */
  data: number | undefined;
}

/** A template of what can be deployed: LINSTOR's resource definition. */
export interface Definition {
  readonly name: string;
  readonly externalName: string | undefined;
  group: Group;
  readonly props: Properties;
  readonly layers: readonly LayerKind[];
  /** Marked as deleted; offline nodes still have it. */
  deleting: boolean;
  rollingBack: boolean;
  /** Made by the clone request. */
  cloning: "no" | "under way" | "failed";
  /** A snapshot other than the newest was deleted: servers before 1.31.2 cannot roll back any more. */
  sequenceBroken: boolean;
  readonly volumes: Map<number, VolumeDefinition>;
  readonly resources: Names<Resource>;
  readonly snapshots: Names<SnapshotDefinition>;
  /** Properties of pairs of resources; see `connectionKey`. */
  readonly connections: Map<string, Properties>;
  readonly port: number;
  readonly uuid: string;
  nextNodeId: number;
}

/** A volume of a resource on its node. */
export interface Volume {
  readonly number: number;
  /** Undefined for diskless ones. */
  pool: Pool | undefined;
  /** KiB in the pool. */
  allocated: number;
  /** KiB of the device at the top of the stack. */
  usable: number;
  /** Has all of the data. */
  synced: boolean;
  /** Number of the data under the device. */
  data: number | undefined;
  readonly uuid: string;
}

/** A definition on one node. */
export interface Resource {
  readonly definition: Definition;
  readonly node: SatelliteNode;
  kind: "diskful" | "diskless" | "tie-breaker" | "nvme-initiator";
  /** Diskless without a vote, as `make-available` makes them since 1.34. */
  client: boolean;
  /** Marked as deleted; its node is offline. */
  deleting: boolean;
  readonly props: Properties;
  readonly volumes: Map<number, Volume>;
  readonly nodeId: number;
  /** Milliseconds since 1970. */
  readonly created: number;
  readonly uuid: string;
  /** Said to be open, whatever the device looks like. */
  said: Openness;
  /** What the controller knows of that, see `isInUse`. */
  known: "closed" | "in-use" | "closing";
}

/** How a device is open. */
export type Openness = "closed" | "read" | "write";

/** A snapshot of one resource. */
export interface SnapshotOfNode {
  readonly node: SatelliteNode;
  /** Marked as deleted; its node is offline. */
  deleting: boolean;
  readonly created: number;
  readonly uuid: string;
  readonly volumes: ReadonlyMap<number, SnapshotVolume>;
}

export interface SnapshotVolume {
  readonly pool: Pool;
  readonly allocated: number;
  /** KiB of the device that the data is of. */
  readonly usable: number;
  readonly data: number | undefined;
}

/** A snapshot of a definition, with instances on nodes. */
export interface SnapshotDefinition {
  readonly name: string;
  readonly definition: Definition;
  /** Grows with each snapshot of the definition. */
  readonly sequence: number;
  flags: readonly string[];
  /** ZFS: the volume under it was renamed, so that it cannot be rolled back in place. */
  renamed: boolean;
  readonly props: Properties;
  readonly definitionProps: Properties;
  /** KiB by volume number. */
  readonly sizes: ReadonlyMap<number, number>;
  readonly instances: Names<SnapshotOfNode>;
  readonly uuid: string;
}

/** A clone that is under way or over. */
export interface Clone {
  readonly source: string;
  readonly name: string;
  status: "CLONING" | "COMPLETE" | "FAILED";
}

/** Everything the controller remembers. Lookups refuse like the service. */
export class State {
  readonly nodes = new Names<SatelliteNode>();
  readonly groups = new Names<Group>();
  readonly definitions = new Names<Definition>();
  readonly clones: Clone[] = [];
  /** Capacity answers by group and filter. */
  readonly sizes = new Map<string, { readonly at: number; readonly answer: unknown }>();
  readonly props: Properties = {};
  /** Counts mutations. */
  mutation = 0;

  node(name: string): SatelliteNode {
    const found = this.nodes.get(name);
    if (!found) throw refuse("noNode", `Node '${name}' not found.`, { refs: { Node: name } });
    return found;
  }

  group(name: string): Group {
    const found = this.groups.get(name);
    if (!found)
      throw refuse(
        "noGroup",
        `Resource group '${name}' not found.`,
        { refs: { RscGrp: name } },
        "resource group",
      );
    return found;
  }

  /** One that is not being deleted, or any. */
  definition(name: string): Definition {
    const found = this.definitions.get(name);
    if (!found)
      throw refuse("noDefinition", `Resource definition '${name}' not found.`, { refs: { RscDfn: name } });
    return found;
  }

  /** One that can be changed. */
  usableDefinition(name: string): Definition {
    const found = this.definition(name);
    if (found.rollingBack)
      throw refuse("rollbackInProgress", `Resource definition '${found.name}' is being rolled back.`, {
        refs: { RscDfn: found.name },
      });
    return found;
  }

  resource(definition: Definition, node: string): Resource {
    const found = definition.resources.get(this.node(node).name);
    if (!found)
      throw refuse("noResource", `Resource '${definition.name}' on node '${node}' not found.`, {
        refs: { RscDfn: definition.name, Node: node },
      });
    return found;
  }

  snapshot(definition: Definition, name: string): SnapshotDefinition {
    const found = definition.snapshots.get(name);
    if (!found)
      throw refuse(
        "noSnapshotDefinition",
        `Snapshot definition '${name}' of resource definition '${definition.name}' not found.`,
        { refs: { RscDfn: definition.name, Snapshot: name } },
      );
    return found;
  }

  pools(): Pool[] {
    return this.nodes.values().flatMap(({ pools }) => pools.values());
  }

  resources(): Resource[] {
    return this.definitions.values().flatMap(({ resources }) => resources.values());
  }

  /** The numbers of all data, each as often as it is used. */
  data(): { number: number; bytes: number; owner: string }[] {
    const found: { number: number; bytes: number; owner: string }[] = [];
    for (const { name, resources, snapshots } of this.definitions.values()) {
      for (const { node, volumes } of resources.values())
        for (const { data, usable, number } of volumes.values())
          if (data !== undefined)
            found.push({ number: data, bytes: usable * 1024, owner: `${name}/${number} on ${node.name}` });
      for (const snapshot of snapshots.values())
        for (const { node, volumes } of snapshot.instances.values())
          for (const [number, { data, usable }] of volumes)
            if (data !== undefined)
              found.push({
                number: data,
                bytes: usable * 1024,
                owner: `${name}/${number} in snapshot ${snapshot.name} on ${node.name}`,
              });
    }
    return found;
  }
}

export function hasDrbd({ layers }: Pick<Definition, "layers">): boolean {
  return layers.includes("DRBD");
}

export function isDiskful({ kind }: Resource): boolean {
  return kind === "diskful";
}

/** Replicas with data, without those on their way out. */
export function diskful(definition: Definition): Resource[] {
  return definition.resources.values().filter((resource) => isDiskful(resource) && !resource.deleting);
}

/** Key of a pair of nodes, whatever their order. */
export function connectionKey(one: string, other: string): string {
  return [one.toUpperCase(), other.toUpperCase()].sort().join("/");
}
