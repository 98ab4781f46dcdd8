// SPDX-License-Identifier: AGPL-3.0-or-later
import { refuse } from "./refusal.js";
import { attachmentRow, clientRow, objectRow, spaceRow, templateRow, templateStatusRow } from "./rows.js";
import type { State, StoredObject } from "./state.js";
import type { Query, World } from "./world.js";

function every(state: State, kind: StoredObject["kind"]): StoredObject[] {
  return [...state.objects.values()].filter((object) => object.kind === kind);
}

function rows(world: World, kind: StoredObject["kind"]): unknown[] {
  return every(world.state, kind).map((object) => objectRow(object, world.behaviour));
}

function one(world: World, kind: StoredObject["kind"], address: string): StoredObject {
  const found = world.state.find(kind, address);
  if (found?.deleted && world.behaviour.deletedAddressable) return found;
  return kind === "volume" ? world.state.volume(address) : world.state.snapshot(address);
}

export const servicesList: Query = ({ state }) => {
  const common = { version: "19.01", startTime: 1_700_000_000 };
  return {
    clusterStatus: "running",
    mgmt: { 1: { id: 1, nodeId: 1, ...common, status: "running", active: true } },
    clients: Object.fromEntries(
      [...state.clients.values()].map(({ id, status }) => [id, { id, nodeId: id, ...common, status }]),
    ),
    servers: {},
    bridges: {},
    iscsiTargets: {},
  };
};

export const templateDescribe: Query = ({ state }, name) => templateRow(state.template(name));

export const templatesList: Query = ({ state }) => [...state.templates.values()].map(templateRow);

export const templatesStatus: Query = ({ state }) =>
  [...state.templates.values()].map((template) => templateStatusRow(template, state));

export const volumesList: Query = (world) => rows(world, "volume");

export const snapshotsList: Query = (world) => rows(world, "snapshot");

export const volumesAndSnapshotsList: Query = (world) => ({
  volumes: rows(world, "volume"),
  snapshots: rows(world, "snapshot"),
});

/** An array of exactly one. */
export const volume: Query = (world, address) => [objectRow(one(world, "volume", address), world.behaviour)];

/** An array of exactly one. */
export const snapshot: Query = (world, address) => [
  objectRow(one(world, "snapshot", address), world.behaviour),
];

/** An object, in contrast to `Volume/`; the real one also lists the placement of every object. */
export const volumeDescribe: Query = (world, address) => ({
  ...objectRow(one(world, "volume", address), world.behaviour),
  objects: {},
});

/** Inferred: one object with the row's members. */
export const volumeGetInfo: Query = (world, address) =>
  objectRow(one(world, "volume", address), world.behaviour);

/** Inferred: one object with the row's members. */
export const snapshotGetInfo: Query = (world, address) =>
  objectRow(one(world, "snapshot", address), world.behaviour);

/** Inferred: the ancestors, nearest first. */
export const volumeListSnapshots: Query = (world, address) => {
  const found: unknown[] = [];
  for (let at = one(world, "volume", address).parent; at; at = at.parent)
    found.push(objectRow(at, world.behaviour));
  return found;
};

export const attachmentsList: Query = ({ state, behaviour }) =>
  state.attachments.map((attachment) => attachmentRow(attachment, behaviour));

export const clientsConfigDump: Query = ({ state }) =>
  [...state.clients.values()].map((client) => clientRow(client, state));

/** Blocks until the client has the current configuration. */
export const clientConfigWait: Query = async (world, argument, signal) => {
  const { state, nodes, behaviour } = world;
  if (!/^[1-9][0-9]{0,3}$/.test(argument)) throw refuse("invalidParam", `'${argument}' is no client id`);
  const client = state.client(Number(argument));
  const start = performance.now();
  if (client.status === "down" && behaviour.downConfigWait === "block")
    await nodes.appears(client, undefined, signal);
  if (client.status === "running") await nodes.converge(client);
  const row = clientRow(client, state, Math.round(performance.now() - start));
  return behaviour.configWaitArray ? [row] : row;
};

export const volumesSpace: Query = ({ state }) => every(state, "volume").map(spaceRow);

export const snapshotsSpace: Query = ({ state }) => every(state, "snapshot").map(spaceRow);
