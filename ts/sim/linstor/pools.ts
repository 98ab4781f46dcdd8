// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Behaviour } from "./behaviour.js";
import { type Definition, hasDrbd, type Pool, type PoolKind, type State } from "./state.js";

/** DRBD's bitmap: one bit for 4 KiB, for each of the peers that a resource can have. */
const peerSlots = 7;
/** Activity log and superblock of internal metadata, in KiB. */
const logKib = 36;
const lvmExtentKib = 4096;

export function isThin(kind: PoolKind): boolean {
  return kind.endsWith("_THIN");
}

export function isZfs(kind: PoolKind): boolean {
  return kind.startsWith("ZFS");
}

export function isFile(kind: PoolKind): boolean {
  return kind.startsWith("FILE");
}

export function supportsSnapshots(kind: PoolKind, { fileSnapshots }: Behaviour): boolean {
  return kind !== "LVM" && (fileSnapshots || !isFile(kind));
}

function extentOf(kind: PoolKind, { zfsBlockKib }: Behaviour): number {
  if (isZfs(kind)) return zfsBlockKib;
  return isFile(kind) ? 4 : lvmExtentKib;
}

/** KiB of DRBD's metadata at the end of a backing device. */
function metaKib(size: number): number {
  const bitmap = Math.ceil(size / 32_768 / 4) * 4;
  return bitmap * peerSlots + logKib;
}

/** KiB that a volume takes in a pool. */
export function allocatedFor(
  definition: Definition,
  size: number,
  kind: PoolKind,
  behaviour: Behaviour,
): number {
  const extent = extentOf(kind, behaviour);
  const needed = hasDrbd(definition) ? size + metaKib(size) : size;
  return Math.ceil(needed / extent) * extent;
}

/** KiB of the device on top of so much in a pool: more than was asked for, unless it must be exact. */
export function usableOf(definition: Definition, size: number, allocated: number): number {
  if (!hasDrbd(definition)) return allocated;
  if (isExact(definition)) return size;
  return Math.max(size, Math.floor((allocated - metaKib(allocated)) / 4) * 4);
}

export function isExact({ props, group }: Definition): boolean {
  const value = props["DrbdOptions/ExactSize"] ?? group.props["DrbdOptions/ExactSize"] ?? "";
  return value.toLowerCase() === "true";
}

/** KiB of a pool that are promised to volumes. */
function provisioned(pool: Pool, state: State): number {
  let sum = 0;
  for (const { volumes } of state.resources())
    for (const volume of volumes.values()) if (volume.pool === pool) sum += volume.allocated;
  return sum;
}

/** KiB that are free. Snapshots are free of charge here. */
export function freeOf(pool: Pool, state: State, { thinFill }: Behaviour): number {
  const share = isThin(pool.kind) ? thinFill : 1;
  return Math.max(0, Math.floor(pool.capacity - provisioned(pool, state) * share));
}

/** KiB of the largest volume that a pool takes. */
export function largestIn(pool: Pool, state: State, behaviour: Behaviour): number {
  const free = freeOf(pool, state, behaviour);
  if (!isThin(pool.kind)) return free;
  const { oversubscription } = behaviour;
  const unpromised = pool.capacity * oversubscription - provisioned(pool, state);
  return Math.max(0, Math.floor(Math.min(free * oversubscription, unpromised)));
}
