// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";
import type { Bytes } from "../../common/size.js";

// Members that are empty are left out of LINSTOR's replies: hardly one of them is certain to be there.

const word = z.string().min(1);
const props = z.record(z.string(), z.string()).default({});
const flags = z.array(z.string()).default([]);

/** Unlimited space is 2^63-1; what a double cannot hold is no size. */
const largest = Number.MAX_SAFE_INTEGER / 1024;
/** KiB on the wire, bytes here. */
const kib = z
  .number()
  .nonnegative()
  .refine((value) => value <= largest, "a size")
  .transform((value): Bytes => BigInt(Math.trunc(value)) * 1024n);
const maybeKib = kib.optional().catch(undefined);

/** `undefined` members are left out. */
function compact<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const kept = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(kept) as { [K in keyof T]: Exclude<T[K], undefined> };
}

const layers = z
  .array(z.object({ type: z.string() }))
  .default([])
  .transform((list) => list.map(({ type }) => type.toUpperCase()));

const volumeDefinition = z.object({ volume_number: z.number().int().default(0), size_kib: kib });

/** A resource definition: the object that a volume is. */
export interface Definition {
  readonly name: string;
  readonly group: string;
  readonly props: Readonly<Record<string, string>>;
  readonly flags: readonly string[];
  /** Such as `DRBD`, `STORAGE`. */
  readonly layers: readonly string[];
  /** Sizes of its volumes as they were asked for; a volume of ours has one. */
  readonly sizes: readonly Bytes[];
  readonly uuid: string;
}

export const definitionSchema = z
  .object({
    name: word,
    resource_group_name: z.string().default(""),
    props,
    flags,
    layer_data: layers,
    volume_definitions: z.array(volumeDefinition).default([]),
    uuid: z.string().default(""),
  })
  .transform(
    (row): Definition => ({
      name: row.name,
      group: row.resource_group_name,
      props: row.props,
      flags: row.flags,
      layers: row.layer_data,
      sizes: row.volume_definitions.map(({ size_kib }) => size_kib),
      uuid: row.uuid,
    }),
  );

const connections = z
  .record(z.string(), z.object({ connected: z.boolean().default(false) }))
  .optional()
  .catch(undefined);

const layerObject = z
  .object({
    type: z.string(),
    drbd: z
      .object({
        connections,
        drbd_volumes: z
          .array(z.object({ usable_size_kib: maybeKib, device_path: z.string().optional() }))
          .optional()
          .catch(undefined),
      })
      .optional(),
  })
  .optional()
  .catch(undefined);

const viewVolume = z.object({
  volume_number: z.number().int().default(0),
  storage_pool_name: z.string().default(""),
  provider_kind: z.string().default(""),
  device_path: z.string().optional(),
  allocated_size_kib: maybeKib,
  usable_size_kib: maybeKib,
  state: z.object({ disk_state: z.string().optional() }).optional().catch(undefined),
});

/** A resource: a definition on one node. */
export interface Resource {
  /** Name of its definition. */
  readonly name: string;
  readonly node: string;
  readonly flags: readonly string[];
  /** Undefined when the node does not answer: then nobody knows. */
  readonly inUse: boolean | undefined;
  /** Milliseconds since the epoch. */
  readonly created?: number;
  readonly topLayer?: string;
  readonly devicePath?: string;
  readonly usable?: Bytes;
  readonly allocated?: Bytes;
  readonly pool: string;
  readonly provider: string;
  readonly diskState?: string;
  /** Names of the peers that it is connected with. */
  readonly connected: readonly string[];
  /** Names of the peers that it says it is not connected with. */
  readonly disconnected: readonly string[];
}

export const resourceSchema = z
  .object({
    name: word,
    node_name: word,
    flags,
    state: z.object({ in_use: z.boolean().optional() }).optional().catch(undefined),
    create_timestamp: z.number().optional().catch(undefined),
    layer_object: layerObject,
    volumes: z.array(viewVolume).default([]),
  })
  .transform((row): Resource => {
    const [volume] = row.volumes;
    const drbd = row.layer_object?.drbd;
    const peers = Object.entries(drbd?.connections ?? {});
    const usable = volume?.usable_size_kib ?? drbd?.drbd_volumes?.[0]?.usable_size_kib;
    return compact({
      name: row.name,
      node: row.node_name,
      flags: row.flags,
      inUse: row.state?.in_use,
      created: row.create_timestamp,
      topLayer: row.layer_object?.type.toUpperCase(),
      devicePath: volume?.device_path ?? drbd?.drbd_volumes?.[0]?.device_path,
      usable,
      allocated: volume?.allocated_size_kib,
      pool: volume?.storage_pool_name ?? "",
      provider: volume?.provider_kind ?? "",
      diskState: volume?.state?.disk_state,
      connected: peers.flatMap(([peer, { connected }]) => (connected ? [peer] : [])),
      disconnected: peers.flatMap(([peer, { connected }]) => (connected ? [] : [peer])),
    }) as Resource;
  });

/** A snapshot of one definition, on one or more nodes. */
export interface LinstorSnapshot {
  readonly name: string;
  readonly definition: string;
  readonly nodes: readonly string[];
  readonly flags: readonly string[];
  readonly props: Readonly<Record<string, string>>;
  readonly size?: Bytes;
  /** Milliseconds since the epoch; 0 when no node says so. */
  readonly created: number;
  readonly uuid: string;
}

export const snapshotSchema = z
  .object({
    name: word,
    resource_name: z.string().default(""),
    nodes: z.array(z.string()).default([]),
    flags,
    props,
    snapshot_definition_props: props,
    volume_definitions: z.array(volumeDefinition).default([]),
    snapshots: z
      .array(z.object({ node_name: z.string().optional(), create_timestamp: z.number().optional() }))
      .default([]),
    uuid: z.string().default(""),
  })
  .transform((row): LinstorSnapshot => {
    const times = row.snapshots.flatMap(({ create_timestamp: at }) => (at === undefined ? [] : [at]));
    return compact({
      name: row.name,
      definition: row.resource_name,
      nodes: row.nodes,
      flags: row.flags,
      props: { ...row.props, ...row.snapshot_definition_props },
      size: row.volume_definitions[0]?.size_kib,
      created: times.length === 0 ? 0 : Math.min(...times),
      uuid: row.uuid,
    }) as LinstorSnapshot;
  });

export const groupSchema = z
  .object({
    name: word,
    uuid: z.string().default(""),
    select_filter: z
      .object({
        place_count: z.number().int().optional(),
        storage_pool: z.string().optional(),
        storage_pool_list: z.array(z.string()).optional(),
        layer_stack: z.array(z.string()).optional(),
        node_name_list: z.array(z.string()).optional(),
      })
      .default({}),
  })
  .transform(({ name, uuid, select_filter: filter }) => ({
    name,
    uuid,
    placeCount: filter.place_count,
    pools: filter.storage_pool_list ?? (filter.storage_pool === undefined ? [] : [filter.storage_pool]),
    layers: filter.layer_stack?.map((layer) => layer.toUpperCase()),
    nodes: filter.node_name_list ?? [],
  }));
/** A resource group: the template of a storage's volumes. */
export type Group = z.output<typeof groupSchema>;

export const poolSchema = z
  .object({
    storage_pool_name: word,
    node_name: word,
    provider_kind: z.string().default(""),
    supports_snapshots: z.boolean().optional(),
    static_traits: z.record(z.string(), z.string()).default({}),
  })
  .transform((row) => ({
    name: row.storage_pool_name,
    node: row.node_name,
    provider: row.provider_kind.toUpperCase(),
    snapshots: row.supports_snapshots ?? row.static_traits["SupportsSnapshots"] === "true",
  }));
/** A storage pool of one node. */
export type Pool = z.output<typeof poolSchema>;

export const nodeSchema = z
  .object({ name: word, connection_status: z.string().default("UNKNOWN") })
  .transform(({ name, connection_status: status }) => ({
    name,
    online: ["ONLINE", "CONNECTED"].includes(status.toUpperCase()),
  }));

const spaceInfo = z.object({
  available_size_in_kib: z.number().nonnegative(),
  capacity_in_kib: z.number().nonnegative(),
});
export const sizeInfoSchema = z.object({ space_info: spaceInfo.optional(), reports: z.unknown().optional() });

export const versionSchema = z.object({ version: word });

export const connectionSchema = z
  .object({ node_a: word, node_b: word, props })
  .transform((row) => ({ nodes: [row.node_a, row.node_b] as const, props: row.props }));
/** The connection of one definition between two nodes. */
export type ResourceConnection = z.output<typeof connectionSchema>;
