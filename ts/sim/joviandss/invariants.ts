// SPDX-License-Identifier: AGPL-3.0-or-later
import type { DataFiles } from "../common/files.js";
import type { Journal } from "../common/journal.js";
import { type ArrayState, clonesOf, type Pool, snapshotsOf, type Volume } from "./state.js";

/** What the caller knows to be there for a reason. */
export interface Expected {
  /** Volumes that somebody owns; every `v_` and `vh_` volume when absent. */
  readonly volumes?: readonly string[];
  /** Snapshots (`VOLUME@SNAPSHOT`) that are exported just now: their `se_` clones may be there. */
  readonly exported?: readonly string[];
  /** Targets that may be without LUNs. */
  readonly emptyTargets?: readonly string[];
}

const ours = /^(?:v|vh)_/;
const exportClone = /^(?:se|shv)_/;

/** What the state breaks: one line each. */
export function problems(
  state: ArrayState,
  files: DataFiles | undefined,
  journal: Journal,
  expected: Expected,
): string[] {
  return [
    ...[...state.pools.values()].flatMap((pool) => [
      ...soundness(pool),
      ...leftovers(pool, expected),
      ...targetProblems(pool, expected),
    ]),
    ...(files ? fileProblems(state, files) : []),
    ...journalProblems(journal),
  ];
}

/** What no request may ever bring about. */
function soundness(pool: Pool): string[] {
  const found: string[] = [];
  const guids = new Set<string>();
  for (const [name, volume] of pool.volumes) {
    const { origin, volsize, volblocksize } = volume;
    if (volume.name !== name) found.push(`${name}: is filed under another name`);
    if (!(volsize > 0)) found.push(`${name}: size ${volsize}`);
    if (volsize % 512 !== 0) found.push(`${name}: ${volsize} is no multiple of 512 (${volblocksize})`);
    if (origin && !pool.snapshots.has(origin)) found.push(`${name}: its origin is gone`);
    if (ancestorsRing(pool, volume)) found.push(`${name}: its ancestors form a ring`);
  }
  for (const { guid, name } of [...pool.volumes.values(), ...pool.snapshots]) {
    if (guids.has(guid)) found.push(`${name}: its guid is used twice`);
    guids.add(guid);
  }
  for (const { name, volume } of pool.snapshots) {
    if (pool.volumes.get(volume.name) !== volume) found.push(`${volume.name}@${name}: its volume is gone`);
    if (snapshotsOf(pool, volume).filter((other) => other.name === name).length > 1)
      found.push(`${volume.name}@${name}: the name is used twice`);
  }
  return found;
}

function ancestorsRing(pool: Pool, volume: Volume): boolean {
  let steps = 0;
  for (let at = volume.origin?.volume; at; at = at.origin?.volume)
    if (steps++ > pool.volumes.size) return true;
  return false;
}

/** What a driver has forgotten. */
function leftovers(pool: Pool, { volumes, exported = [] }: Expected): string[] {
  const found: string[] = [];
  for (const { name, origin } of pool.volumes.values()) {
    if (ours.test(name) && volumes && !volumes.includes(name)) found.push(`${name}: nobody owns it`);
    const from = origin ? `${origin.volume.name}@${origin.name}` : "";
    if (exportClone.test(name) && !exported.includes(from))
      found.push(`${name}: a clone for an export that is over`);
  }
  for (const snapshot of pool.snapshots) {
    const { name, volume } = snapshot;
    if (ours.test(name) && clonesOf(pool, snapshot).length === 0)
      found.push(`${volume.name}@${name}: an intermediate snapshot without its clone`);
  }
  return found;
}

function targetProblems(pool: Pool, { emptyTargets = [] }: Expected): string[] {
  const found: string[] = [];
  for (const { name, luns, users, incomingUsersActive, portals } of pool.targets.values()) {
    if (luns.size === 0 && !emptyTargets.includes(name)) found.push(`${name}: a target without LUNs`);
    for (const { lun, volume, name: label } of luns.values())
      if (pool.volumes.get(volume.name) !== volume)
        found.push(`${name}: LUN ${lun} (${label}) belongs to no volume`);
    if (users.size > 0 && !incomingUsersActive) found.push(`${name}: users, but nobody has to log in`);
    if (users.size === 0 && incomingUsersActive) found.push(`${name}: nobody can log in`);
    for (const vip of portals.assigned)
      if (!pool.vips.some(({ name: known }) => known === vip)) found.push(`${name}: no such VIP: ${vip}`);
  }
  const attached = [...pool.targets.values()].flatMap(({ luns }) => [...luns.values()]);
  for (const { volume, name } of attached)
    if (attached.filter((other) => other.volume === volume).length > 1)
      found.push(`${name}: attached more than once`);
  return found;
}

/** Whether there is a file of the right size for every object, and no other. */
function fileProblems(state: ArrayState, files: DataFiles): string[] {
  const found: string[] = [];
  const sizes = files.sizes();
  for (const { volumes, snapshots } of state.pools.values()) {
    for (const { id, name, volsize } of [...volumes.values(), ...snapshots]) {
      const real = sizes.get(id);
      if (real !== volsize) found.push(`${name}: ${volsize} bytes, but its file has ${real ?? "gone"}`);
      sizes.delete(id);
    }
  }
  for (const id of sizes.keys()) found.push(`file of ${id}: belongs to no object`);
  return found;
}

function journalProblems({ entries }: Journal): string[] {
  return entries
    .filter(({ body }) => typeof body === "object" && body !== null && "recursively_dependents" in body)
    .map(({ number, verb, path }) => `request ${number}: ${verb} ${path} asks for recursively_dependents`);
}
