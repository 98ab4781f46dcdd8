// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";
import { special } from "./codes.js";
import { refuse } from "./replies.js";
import { layerKinds } from "./state.js";

const props = z.record(z.string(), z.string());
const names = z.array(z.string());
const layers = z.array(z.enum(layerKinds));
const int = z.number().int();

const changes = {
  override_props: props.default({}),
  delete_props: names.default([]),
  delete_namespaces: names.default([]),
};

const filter = z.strictObject({
  place_count: int.optional(),
  additional_place_count: int.optional(),
  node_name_list: names.optional(),
  storage_pool: z.string().optional(),
  storage_pool_list: names.nullish().transform((list) => list ?? undefined),
  storage_pool_diskless_list: names.nullish().transform((list) => list ?? undefined),
  not_place_with_rsc: names.nullish().transform((list) => list ?? undefined),
  not_place_with_rsc_regex: z.string().optional(),
  replicas_on_same: names.nullish().transform((list) => list ?? undefined),
  replicas_on_different: names.nullish().transform((list) => list ?? undefined),
  x_replicas_on_different_map: z.record(z.string(), int).optional(),
  layer_stack: layers.nullish().transform((list) => list ?? undefined),
  provider_list: names.nullish().transform((list) => list ?? undefined),
  diskless_on_remaining: z.boolean().optional(),
  diskless_type: z.string().optional(),
  overprovision: z.number().optional(),
  port_count: int.optional(),
});

const snapshotCopies = { snap_names: names.optional(), copy_all_snaps: z.boolean().optional() };

/** A list that is accepted for its documented members, without effect here. */
const layerData = z.array(z.strictObject({ type: z.enum(layerKinds), data: z.unknown().optional() }));

export const changeArguments = z.strictObject(changes);

export const groupCreateArguments = z.strictObject({
  name: z.string(),
  description: z.string().default(""),
  props: props.default({}),
  select_filter: filter.default({} as never),
  uuid: z.string().optional(),
  peer_slots: int.optional(),
});

export const groupModifyArguments = z.strictObject({
  ...changes,
  ...snapshotCopies,
  description: z.string().optional(),
  select_filter: filter.optional(),
  peer_slots: int.optional(),
});

export const volumeGroupArguments = z.strictObject({
  volume_number: int.optional(),
  props: props.default({}),
  uuid: z.string().optional(),
  flags: names.default([]),
});

export const spawnArguments = z.strictObject({
  resource_definition_name: z.string().optional(),
  resource_definition_external_name: z.string().optional(),
  volume_sizes: z.array(int).default([]),
  select_filter: filter.optional(),
  partial: z.boolean().default(false),
  definitions_only: z.boolean().default(false),
  peer_slots: int.optional(),
  volume_passphrases: names.optional(),
  resource_definition_props: props.default({}),
});

export const definitionCreateArguments = z.strictObject({
  drbd_port: int.optional(),
  drbd_secret: z.string().optional(),
  drbd_peer_slots: int.optional(),
  drbd_transport_type: z.string().optional(),
  resource_definition: z.strictObject({
    name: z.string().optional(),
    external_name: z.string().optional(),
    props: props.default({}),
    flags: names.optional(),
    layer_data: layerData.default([]),
    uuid: z.string().optional(),
    resource_group_name: z.string().optional(),
    volume_definitions: z.array(z.unknown()).optional(),
  }),
});

export const definitionModifyArguments = z.strictObject({
  ...changes,
  drbd_port: int.optional(),
  drbd_peer_slots: int.optional(),
  layer_stack: layers.optional(),
  resource_group: z.string().optional(),
});

export const volumeDefinitionCreateArguments = z.strictObject({
  volume_definition: z.strictObject({
    volume_number: int.optional(),
    size_kib: int,
    props: props.default({}),
    flags: names.optional(),
    layer_data: z.array(z.unknown()).optional(),
    uuid: z.string().optional(),
  }),
  drbd_minor_number: int.optional(),
  passphrase: z.string().optional(),
});

export const volumeDefinitionModifyArguments = z.strictObject({
  ...changes,
  size_kib: int.optional(),
  flags: names.optional(),
});

export const makeAvailableArguments = z.strictObject({
  ...snapshotCopies,
  layer_list: layers.optional(),
  diskful: z.boolean().default(false),
  drbd_tcp_ports: z.array(int).optional(),
});

export const autoplaceArguments = z.strictObject({
  ...snapshotCopies,
  diskless_on_remaining: z.boolean().default(false),
  select_filter: filter.optional(),
  layer_list: layers.nullish(),
});

const resourceCreate = z.strictObject({
  ...snapshotCopies,
  resource: z
    .strictObject({
      name: z.string().optional(),
      node_name: z.string().optional(),
      props: props.default({}),
      flags: names.default([]),
      layer_object: z.unknown().optional(),
      state: z.unknown().optional(),
      uuid: z.string().optional(),
      create_timestamp: int.optional(),
    })
    .default({ props: {}, flags: [] }),
  layer_list: layers.optional(),
  drbd_node_id: int.optional(),
  drbd_tcp_port_count: int.optional(),
  drbd_tcp_ports: z.array(int).optional(),
  drbd_client: z.boolean().default(false),
});

export const resourceCreateArguments = resourceCreate;
export const resourcesCreateArguments = z.array(resourceCreate).min(1);

export const toggleDiskArguments = z.strictObject({
  operation: z.enum(["INTO_DRBD_DISKFUL", "INTO_DRBD_CLIENT", "INTO_DRBD_DISKLESS"]),
  storage_pool: z.string().optional(),
  migrate_from: z.string().optional(),
  layer_list: layers.optional(),
});

export const oldToggleArguments = z.strictObject({ layer_list: layers.optional() });

const snapshot = z.strictObject({
  name: z.string(),
  resource_name: z.string().optional(),
  nodes: names.default([]),
  props: props.default({}),
  snapshot_definition_props: props.default({}),
  resource_definition_props: props.optional(),
  flags: names.optional(),
  volume_definitions: z.array(z.unknown()).optional(),
  uuid: z.string().optional(),
  snapshots: z.array(z.unknown()).optional(),
});

export const snapshotArguments = snapshot;

export const multiSnapshotArguments = z.strictObject({
  snapshots: z.array(snapshot.extend({ resource_name: z.string() })).min(1),
});

export const restoreArguments = z.strictObject({
  to_resource: z.string(),
  nodes: names.default([]),
  stor_pool_rename: z.record(z.string(), z.string()).default({}),
});

export const rollbackArguments = z.strictObject({
  zfs_rollback_strategy: z.enum(["rollback", "clone", "dynamic"]).optional(),
});

export const cloneArguments = z.strictObject({
  name: z.string().optional(),
  external_name: z.string().optional(),
  use_zfs_clone: z.boolean().default(false),
  layer_list: layers.optional(),
  volume_passphrases: names.optional(),
  resource_group: z.string().optional(),
  ...changes,
});

export const sizeArguments = z.strictObject({
  select_filter: filter.optional(),
  ignore_cache_older_than_sec: int.default(-1),
});

/** Checks a body; what is wrong with it is a parse error, as the service has it. */
export function argumentsOf<T extends z.ZodType>(schema: T, body: unknown, strict: boolean): z.output<T> {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  if (issue?.code === "unrecognized_keys" && !strict)
    return argumentsOf(schema, without(body, issue.path, issue.keys), strict);
  const details = `${issue?.path.join(".") || "body"}: ${issue?.message ?? "wrong"}`;
  throw refuse(special.parseError, "Unable to parse input json.", { details });
}

function without(body: unknown, path: readonly PropertyKey[], keys: readonly string[]): unknown {
  const [head, ...rest] = path;
  if (typeof body !== "object" || body === null) return body;
  if (head === undefined)
    return Object.fromEntries(Object.entries(body).filter(([key]) => !keys.includes(key)));
  const inner = without((body as Record<PropertyKey, unknown>)[head], rest, keys);
  if (Array.isArray(body)) return body.map((element, n) => (n === head ? inner : element));
  return { ...body, [head]: inner };
}
