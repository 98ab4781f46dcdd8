// SPDX-License-Identifier: AGPL-3.0-or-later
import type { LinstorCluster } from "./cluster.js";
import { allowTwoPrimaries } from "./connections.js";
import { type Definition, hasDrbd } from "./state.js";

/** What the caller knows to be there for a reason. */
export interface Expected {
  /** Definitions that may be without resources: somebody is about to place them. */
  readonly empty?: readonly string[] | true;
  /** Definitions that are being migrated: connections may allow two primaries. */
  readonly migrating?: readonly string[] | true;
  /** Temporary definitions of snapshots that are activated just now. */
  readonly activated?: readonly string[];
  /** Which definitions are temporary; `snap_...` when absent. */
  readonly temporary?: RegExp;
  /** Properties of which no two definitions may have the same value, such as the mark of a request. */
  readonly unique?: readonly string[];
}

/** What the state breaks, or a driver has forgotten: one line each. */
export function problems(cluster: LinstorCluster, expected: Expected): string[] {
  const { state } = cluster;
  const definitions = state.definitions.values();
  return [
    ...definitions.flatMap(soundness),
    ...definitions.flatMap((definition) => leftovers(definition, expected)),
    ...duplicates(definitions, expected.unique ?? []),
    ...dataProblems(cluster),
    ...deviceProblems(cluster),
    ...cluster.devices.look(),
  ];
}

/** What no request may ever bring about. */
function soundness(definition: Definition): string[] {
  const found: string[] = [];
  const { name, resources, volumes, snapshots, connections } = definition;
  const drbd = hasDrbd(definition);
  for (const { node, kind, volumes: own } of resources.values()) {
    const what = `${name} on ${node.name}`;
    if (kind === "diskless" && !drbd) found.push(`${what}: diskless without DRBD`);
    if (own.size !== volumes.size) found.push(`${what}: ${own.size} volumes of ${volumes.size}`);
    for (const { number, pool, allocated, usable, data } of own.values()) {
      if (!volumes.has(number)) found.push(`${what}: volume ${number} is not defined`);
      if (kind === "diskful" && !pool) found.push(`${what}: diskful, but without a pool`);
      if (kind === "diskful" && pool?.node !== node) found.push(`${what}: its pool is on another node`);
      if (kind === "diskful" && usable > allocated) found.push(`${what}: ${usable} KiB in ${allocated}`);
      const shared = volumes.get(number)?.data;
      if (drbd && data !== shared) found.push(`${what}: has other data than its peers`);
    }
  }
  const tieBreakers = resources.values().filter(({ kind }) => kind === "tie-breaker");
  if (tieBreakers.length > 1) found.push(`${name}: ${tieBreakers.length} tie-breakers`);
  const sequences = snapshots.values().map(({ sequence }) => sequence);
  if (new Set(sequences).size !== sequences.length) found.push(`${name}: snapshots with one sequence number`);
  for (const key of connections.keys())
    for (const node of key.split("/"))
      if (!resources.has(node)) found.push(`${name}: a connection to ${node}, which has no resource`);
  return found;
}

/** What a driver has forgotten. */
function leftovers(definition: Definition, expected: Expected): string[] {
  const { empty = [], migrating = [], activated = [], temporary = /^snap_/ } = expected;
  const found: string[] = [];
  const { name, resources, snapshots, connections, cloning, rollingBack, deleting } = definition;
  if (
    resources.size === 0 &&
    cloning !== "under way" &&
    !rollingBack &&
    empty !== true &&
    !empty.includes(name)
  )
    found.push(`${name}: a resource definition without resources`);
  if (cloning === "failed") found.push(`${name}: a clone that failed`);
  if (deleting && resources.values().every(({ node }) => node.online))
    found.push(`${name}: marked as deleted`);
  if (temporary.test(name) && !activated.includes(name))
    found.push(`${name}: a temporary resource of a snapshot that nobody has activated`);
  for (const snapshot of snapshots.values())
    if (snapshot.flags.includes("SAFETY_SNAPSHOT") && !rollingBack)
      found.push(`${name}: safety snapshot '${snapshot.name}' of a rollback that is over`);
  for (const snapshot of snapshots.values())
    if (snapshot.instances.values().some(({ node, deleting }) => deleting && node.online))
      found.push(`${name}: snapshot '${snapshot.name}' is marked as deleted`);
  for (const [pair, props] of connections)
    if (props[allowTwoPrimaries] !== undefined && migrating !== true && !migrating.includes(name))
      found.push(`${name}: ${pair} still has ${allowTwoPrimaries}`);
  return found;
}

function duplicates(definitions: readonly Definition[], unique: readonly string[]): string[] {
  const found: string[] = [];
  for (const key of unique) {
    const owners = new Map<string, string>();
    for (const { name, props } of definitions) {
      const value = props[key];
      if (value === undefined) continue;
      const other = owners.get(value);
      if (other !== undefined) found.push(`${name}: the same ${key} as ${other}`);
      owners.set(value, name);
    }
  }
  return found;
}

/** Whether there is a file of the right size for all data, and no other. */
function dataProblems({ state, files, held, devices }: LinstorCluster): string[] {
  if (!files) return [];
  const found: string[] = [];
  const sizes = files.sizes();
  const rest = new Set(sizes.keys());
  for (const { number, bytes, owner } of state.data()) {
    const real = sizes.get(number);
    if (real !== bytes) found.push(`${owner}: ${bytes} bytes, but its file has ${real ?? "gone"}`);
    rest.delete(number);
  }
  for (const number of held) rest.delete(number);
  for (const { node, data } of devices.all()) if (!node.online) rest.delete(data);
  for (const number of rest) found.push(`file of ${number}: belongs to nothing`);
  return found;
}

/** Whether nodes have the devices that they should, and no others. */
function deviceProblems({ state, devices, links }: LinstorCluster): string[] {
  const found = [...devices.failures];
  for (const { definition, node, volumes, deleting } of state.resources())
    for (const { number, data } of volumes.values())
      if (node.online && !deleting && data !== undefined && !devices.find(node.name, definition, number))
        found.push(`${definition.name}/${number} on ${node.name}: deployed, but without a device`);
  if (!links) return found;
  const known = new Set<string>();
  const listed = new Map(state.nodes.values().map(({ name, dir }) => [name, links.listed(dir)]));
  for (const { node, definition, volume, names, visible, loop, size } of devices.all()) {
    const what = `${definition.name}/${volume} on ${node.name}`;
    if (loop === undefined) continue;
    known.add(loop);
    if (links.size(loop) !== size) found.push(`${what}: ${size} bytes, but ${loop} has ${links.size(loop)}`);
    const own = listed.get(node.name);
    for (const [n, name] of names.entries()) {
      const target = own?.get(name);
      if ((n === 0 || visible) && target !== loop)
        found.push(`${what}: ${name} leads to ${target ?? "nowhere"}`);
      own?.delete(name);
    }
  }
  for (const [node, rest] of listed)
    for (const name of rest.keys()) found.push(`${node}: ${name} belongs to no device`);
  for (const { device, file } of links.loops())
    if (!known.has(device)) found.push(`${device}: over '${file}', but no node has it`);
  return found;
}

/** Diskless resources that nobody has open: of use to nobody, unless their volume is active. */
export function idle(cluster: LinstorCluster): string[] {
  return cluster.state
    .resources()
    .filter((resource) => resource.kind === "diskless" && cluster.openness(resource) === "closed")
    .map(({ definition, node }) => `${definition.name} on ${node.name}`);
}
