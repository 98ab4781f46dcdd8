// SPDX-License-Identifier: AGPL-3.0-or-later
import type { DataFiles } from "../common/files.js";
import type { DeviceLinks } from "../common/links.js";
import { linkName, type Nodes } from "./nodes.js";
import { type State, slotsPerClient } from "./state.js";

/** What the caller knows to be right although it looks wrong. */
export interface Expected {
  /** Global ids of volumes that more than one client may write, or true for all: a migration is under way. */
  readonly sharedRw?: readonly string[] | true;
}

/** What the configuration breaks: one line each. */
export function stateProblems(state: State, { sharedRw = [] }: Expected): string[] {
  const found: string[] = [];
  const globalIds = new Set<string>();
  const names = new Set<string>();
  for (const object of state.objects.values()) {
    const { globalId, parent, size, kind, name, deleted, template } = object;
    if (globalIds.has(globalId)) found.push(`${globalId}: the global id is used twice`);
    globalIds.add(globalId);
    if (name !== "" && names.has(`${kind} ${name}`))
      found.push(`${globalId}: the name '${name}' is used twice`);
    names.add(`${kind} ${name}`);
    if (!(size > 0) || size % 512 !== 0) found.push(`${globalId}: size ${size} is no multiple of 512`);
    if (!state.templates.has(template)) found.push(`${globalId}: template '${template}' does not exist`);
    if (parent && state.objects.get(parent.id) !== parent) found.push(`${globalId}: its parent is gone`);
    if (parent && parent.kind !== "snapshot") found.push(`${globalId}: its parent is a volume`);
    if (deleted && !state.hasChildren(object))
      found.push(`${globalId}: deleted and without children, but there`);
    for (let at = parent, depth = 0; at; at = at.parent) {
      if (at !== object && depth++ <= state.objects.size) continue;
      found.push(`${globalId}: its ancestors form a ring`);
      break;
    }
  }
  return [...found, ...attachmentProblems(state, sharedRw)];
}

function attachmentProblems(state: State, sharedRw: readonly string[] | true): string[] {
  const found: string[] = [];
  const taken = new Set<string>();
  const pairs = new Set<string>();
  const writers = new Map<string, number>();
  for (const { object, client, rights, pos } of state.attachments) {
    const what = `${object.globalId} at client ${client}`;
    if (state.objects.get(object.id) !== object) found.push(`${what}: attached, but gone`);
    if (!state.clients.has(client)) found.push(`${what}: no such client`);
    if (taken.has(`${client}/${pos}`)) found.push(`${what}: position ${pos} is used twice`);
    taken.add(`${client}/${pos}`);
    if (pairs.has(`${client}/${object.id}`)) found.push(`${what}: attached twice`);
    pairs.add(`${client}/${object.id}`);
    if (pos < 0 || pos >= slotsPerClient) found.push(`${what}: position ${pos} is out of range`);
    if (rights === "rw" && object.kind === "snapshot") found.push(`${what}: a snapshot attached rw`);
    if (rights === "rw") writers.set(object.globalId, (writers.get(object.globalId) ?? 0) + 1);
  }
  for (const [globalId, count] of writers) {
    if (count > 1 && sharedRw !== true && !sharedRw.includes(globalId))
      found.push(`${globalId}: ${count} clients may write`);
  }
  return found;
}

/** Whether there is a file of the right size for every object, and no other. */
export function fileProblems(state: State, files: DataFiles): string[] {
  const found: string[] = [];
  const sizes = files.sizes();
  for (const { id, globalId, size } of state.objects.values()) {
    const real = sizes.get(id);
    if (real === undefined) found.push(`${globalId}: its file is missing`);
    else if (real !== size) found.push(`${globalId}: ${size} bytes, but its file has ${real}`);
  }
  for (const id of sizes.keys())
    if (!state.objects.has(id)) found.push(`file of ${id}: belongs to no object`);
  return found;
}

/** Whether clients that have the current configuration have the devices it asks for, and no others. */
export function deviceProblems(state: State, nodes: Nodes, links: DeviceLinks | undefined): string[] {
  const found = nodes.failures.map((text) => `in the background: ${text}`);
  for (const { object, client } of state.attachments) {
    const current = state.clients.get(client)?.generation === state.generation;
    const slot = nodes.devices().find((device) => device.client === client && device.object === object);
    if (current && !slot)
      found.push(`${object.globalId} at client ${client}: attached, but without a device`);
  }
  if (!links) return found;
  const known = new Set<string>();
  for (const { client, object, visible, link, loop, size } of nodes.devices()) {
    const what = `${object.globalId} at client ${client}`;
    if (loop) known.add(loop);
    if (loop && links.size(loop) !== size) found.push(`${what}: ${size} bytes, but ${loop} has another size`);
    const dir = state.clients.get(client)?.dir ?? "";
    const target = link && links.listed(dir).get(linkName(object.globalId));
    if (visible && target !== loop) found.push(`${what}: its link leads to ${target ?? "nowhere"}`);
    if (!visible && target !== undefined) found.push(`${what}: its link is there too early or too late`);
  }
  for (const { device, file } of links.loops())
    if (!known.has(device)) found.push(`${device}: over '${file}', but no client has it`);
  return found;
}
