// SPDX-License-Identifier: AGPL-3.0-or-later

import { since } from "./behaviour.js";
import { returnCode } from "./codes.js";
import { same } from "./names.js";
import { freeOf, isThin, supportsSnapshots } from "./pools.js";
import { refuse, shownEntries } from "./replies.js";
import { resourceRow } from "./rows.js";
import {
  type Definition,
  diskful,
  type Group,
  hasDrbd,
  type Properties,
  type SatelliteNode,
  type SnapshotDefinition,
  type VolumeDefinition,
} from "./state.js";
import type { Ask, Query, World } from "./world.js";

/** What a diskless pool reports: 2^63-1. */
const unlimited = 2n ** 63n - 1n;

/** Is something among the repeated values of a query's member? None means all. */
function asked({ query }: Ask, member: string, name: string): boolean {
  const values = query.getAll(member);
  return values.length === 0 || values.some((value) => same(value, name));
}

/** Has something all of the properties that a query names, as `KEY` or `KEY=VALUE`? */
function hasProperties({ query }: Ask, props: Properties): boolean {
  return query.getAll("props").every((wanted) => {
    const at = wanted.indexOf("=");
    return at < 0 ? props[wanted] !== undefined : props[wanted.slice(0, at)] === wanted.slice(at + 1);
  });
}

function page<T>({ query }: Ask, rows: readonly T[]): T[] {
  const offset = Number(query.get("offset") ?? 0);
  const limit = Number(query.get("limit") ?? 0);
  return rows.slice(offset, limit > 0 ? offset + limit : undefined);
}

export const version: Query = ({ behaviour }) => ({
  version: behaviour.version,
  git_hash: "0000000000000000000000000000000000000000",
  build_time: "2026-01-01T00:00:00+00:00",
  rest_api_version: since(behaviour, "1.34") ? "1.28.0" : since(behaviour, "1.32") ? "1.26.0" : "1.24.0",
});

export const nodeList: Query = ({ state }, ask) =>
  page(
    ask,
    state.nodes
      .values()
      .filter((node) => asked(ask, "nodes", node.name) && hasProperties(ask, node.props))
      .map(nodeRow),
  );

export const nodeGet: Query = ({ state }, { at }) => nodeRow(state.node(at["node"] ?? ""));

function nodeRow(node: SatelliteNode): unknown {
  const { name, address, online, flags, layers, props, uuid, pools } = node;
  const lacking = (["DRBD", "NVME"] as const).filter((layer) => !layers.includes(layer));
  return {
    name,
    type: "SATELLITE",
    flags: [...flags],
    props,
    net_interfaces: [
      {
        name: "default",
        address,
        satellite_port: 3366,
        satellite_encryption_type: "PLAIN",
        is_active: true,
        uuid,
      },
    ],
    connection_status: online ? "ONLINE" : "OFFLINE",
    uuid,
    storage_providers: online ? ["DISKLESS", ...new Set(pools.values().map(({ kind }) => kind))] : undefined,
    resource_layers: online ? layers : undefined,
    unsupported_layers: online
      ? Object.fromEntries(lacking.map((layer) => [layer, [`${layer} is not installed`]]))
      : undefined,
  };
}

export const poolView: Query = (world, ask) => {
  const { state, behaviour } = world;
  const rows: unknown[] = [];
  for (const node of state.nodes.values()) {
    if (!asked(ask, "nodes", node.name)) continue;
    const offline = shownEntries(
      [
        {
          code: returnCode("warnNotConnected", "none", "node"),
          message: `No active connection to satellite '${node.name}'`,
        },
      ],
      new Date(world.now()).toISOString(),
    );
    if (asked(ask, "storage_pools", "DfltDisklessStorPool") && hasProperties(ask, {}))
      rows.push({
        storage_pool_name: "DfltDisklessStorPool",
        node_name: node.name,
        provider_kind: "DISKLESS",
        static_traits: { SupportsSnapshots: "false" },
        free_capacity: unlimited,
        total_capacity: unlimited,
        free_space_mgr_name: `${node.name};DfltDisklessStorPool`,
        uuid: node.uuid,
        supports_snapshots: false,
        external_locking: false,
      });
    for (const pool of node.pools.values()) {
      const { name, kind, capacity, props, uuid } = pool;
      if (!asked(ask, "storage_pools", name) || !hasProperties(ask, props)) continue;
      const snapshots = supportsSnapshots(kind, behaviour);
      rows.push({
        storage_pool_name: name,
        node_name: node.name,
        provider_kind: kind,
        props,
        static_traits: { Provisioning: isThin(kind) ? "Thin" : "Fat", SupportsSnapshots: String(snapshots) },
        free_capacity: node.online ? freeOf(pool, state, behaviour) : undefined,
        total_capacity: node.online ? capacity : undefined,
        free_space_mgr_name: `${node.name};${name}`,
        uuid,
        reports: node.online ? undefined : offline,
        supports_snapshots: snapshots,
        external_locking: false,
      });
    }
  }
  return page(ask, rows);
};

export const groupList: Query = ({ state }, ask) =>
  page(
    ask,
    state.groups
      .values()
      .filter(({ name, props }) => asked(ask, "resource_groups", name) && hasProperties(ask, props))
      .map(groupRow),
  );

export const groupGet: Query = ({ state }, { at }) => groupRow(state.group(at["group"] ?? ""));

function groupRow({ name, description, props, filter, uuid }: Group): unknown {
  return { name, description, props, select_filter: filter, uuid };
}

export const volumeGroupList: Query = ({ state }, { at }) =>
  state.group(at["group"] ?? "").volumeGroups.map((number) => ({ volume_number: number }));

export const definitionList: Query = ({ state }, ask) =>
  page(
    ask,
    state.definitions
      .values()
      .filter(({ name, props }) => asked(ask, "resource_definitions", name) && hasProperties(ask, props))
      .map((definition) => definitionRow(definition, ask.query.get("with_volume_definitions") === "true")),
  );

export const definitionGet: Query = ({ state }, { at }) =>
  definitionRow(state.definition(at["definition"] ?? ""), false);

function definitionRow(definition: Definition, withVolumes: boolean): unknown {
  const { name, externalName, props, group, layers, uuid, deleting, cloning, volumes, port } = definition;
  return {
    name,
    external_name: externalName,
    props,
    flags: [
      ...(deleting ? ["DELETE"] : []),
      ...(cloning === "under way" ? ["CLONING"] : []),
      ...(cloning === "failed" ? ["FAILED"] : []),
    ],
    layer_data: layers.map((type) =>
      type === "DRBD"
        ? { type, data: { peer_slots: 7, al_stripes: 1, al_stripe_size_kib: 32, port, transport_type: "IP" } }
        : { type },
    ),
    uuid,
    resource_group_name: group.name,
    volume_definitions: withVolumes
      ? [...volumes.values()].map((one) => volumeDefinitionRow(definition, one))
      : undefined,
  };
}

export const volumeDefinitionList: Query = ({ state }, ask) => {
  const definition = state.definition(ask.at["definition"] ?? "");
  return page(
    ask,
    [...definition.volumes.values()].map((one) => volumeDefinitionRow(definition, one)),
  );
};

export const volumeDefinitionGet: Query = ({ state }, { at }) => {
  const definition = state.definition(at["definition"] ?? "");
  const volume = definition.volumes.get(Number(at["volume"]));
  if (!volume) throw refuse("noVolumeDefinition", `Volume definition '${at["volume"]}' not found.`);
  return volumeDefinitionRow(definition, volume);
};

function volumeDefinitionRow(definition: Definition, volume: VolumeDefinition): unknown {
  const { number, size, props, uuid, minor } = volume;
  const drbd = { type: "DRBD", data: { volume_number: number, minor_number: minor } };
  return {
    volume_number: number,
    size_kib: size,
    props,
    layer_data: hasDrbd(definition) ? [drbd, { type: "STORAGE" }] : [{ type: "STORAGE" }],
    uuid,
  };
}

/** The view: rows with volumes. */
export const resourceView: Query = (world, ask) =>
  page(
    ask,
    resourceRows(world, ask, () => true, true),
  );

export const resourceList: Query = (world, ask) => {
  const definition = world.state.definition(ask.at["definition"] ?? "");
  return page(
    ask,
    resourceRows(world, ask, (one) => one === definition, false),
  );
};

export const resourceGet: Query = (world, { at }) => {
  const definition = world.state.definition(at["definition"] ?? "");
  return resourceRow(world, world.state.resource(definition, at["node"] ?? ""), false);
};

function resourceRows(
  world: World,
  ask: Ask,
  wanted: (definition: Definition) => boolean,
  withVolumes: boolean,
): unknown[] {
  return world.state
    .resources()
    .filter(
      ({ definition, node, props, volumes }) =>
        wanted(definition) &&
        asked(ask, "resources", definition.name) &&
        asked(ask, "nodes", node.name) &&
        hasProperties(ask, props) &&
        [...volumes.values()].some(({ pool }) =>
          asked(ask, "storage_pools", pool?.name ?? "DfltDisklessStorPool"),
        ),
    )
    .map((resource) => resourceRow(world, resource, withVolumes));
}

export const syncStatus: Query = ({ state }, { at }) => {
  const replicas = diskful(state.definition(at["definition"] ?? ""));
  const synced = replicas.every(
    ({ node, volumes }) => node.online && [...volumes.values()].every((one) => one.synced),
  );
  return { synced_on_all: synced };
};

export const snapshotView: Query = ({ state }, ask) => {
  const all = state.definitions.values().filter(({ name }) => asked(ask, "resources", name));
  const rows = all.flatMap(({ snapshots }) => snapshots.values());
  const wanted = rows.filter(({ instances }) => {
    const nodes = instances.values().map(({ node }) => node.name);
    return nodes.length === 0 || nodes.some((node) => asked(ask, "nodes", node));
  });
  return page(ask, wanted.map(snapshotRow));
};

export const snapshotList: Query = ({ state }, { at }) =>
  state
    .definition(at["definition"] ?? "")
    .snapshots.values()
    .map(snapshotRow);

export const snapshotGet: Query = ({ state }, { at }) =>
  snapshotRow(state.snapshot(state.definition(at["definition"] ?? ""), at["snapshot"] ?? ""));

function snapshotRow(snapshot: SnapshotDefinition): unknown {
  const { name, definition, instances, props, definitionProps, flags, sizes, uuid, sequence } = snapshot;
  return {
    name,
    resource_name: definition.name,
    nodes: instances.values().map(({ node }) => node.name),
    props,
    snapshot_definition_props: { ...props, SequenceNumber: String(sequence) },
    resource_definition_props: definitionProps,
    flags,
    volume_definitions: [...sizes].map(([number, size]) => ({ volume_number: number, size_kib: size })),
    uuid,
    snapshots: instances.values().map((one) => ({
      snapshot_name: name,
      node_name: one.node.name,
      create_timestamp: one.created,
      uuid: one.uuid,
      snapshot_volumes: [...one.volumes.keys()].map((number) => ({ uuid: one.uuid, vlm_nr: number })),
    })),
  };
}
