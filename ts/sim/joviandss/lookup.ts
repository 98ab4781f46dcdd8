// SPDX-License-Identifier: AGPL-3.0-or-later
import { refuse } from "./refusal.js";
import { type Lun, type Snapshot, snapshotsOf, type Target, type Volume } from "./state.js";
import type { Ask, World } from "./world.js";

/** The volume of the path. One that was renamed a moment ago may not be there yet. */
export function volumeAt(world: World, { pool, at }: Ask): Volume {
  const name = at["volume"] ?? "";
  const found = pool.volumes.get(name);
  const { before } = found ?? {};
  if (!found || (before?.name !== undefined && world.now() < before.until))
    throw refuse.noVolume(pool.name, name, world.behaviour);
  return found;
}

/** The snapshot of the path. */
export function snapshotAt(world: World, ask: Ask): Snapshot {
  const volume = volumeAt(world, ask);
  const name = ask.at["snapshot"] ?? "";
  const found = snapshotsOf(ask.pool, volume).find((snapshot) => snapshot.name === name);
  if (!found) throw refuse.noSnapshot(ask.pool.name, volume.name, name, world.behaviour);
  return found;
}

/** The target of the path. */
export function targetAt(world: World, { pool, at }: Ask): Target {
  const iqn = at["target"] ?? "";
  const found = pool.targets.get(iqn);
  if (!found || found.visibleAt > world.now()) throw refuse.noTarget(iqn);
  return found;
}

/** The LUN of the path, by the volume's name. */
export function lunAt(world: World, ask: Ask): { target: Target; lun: Lun } {
  const target = targetAt(world, ask);
  const name = ask.at["volume"] ?? "";
  const lun = [...target.luns.values()].find((one) => one.name === name);
  if (!lun) throw refuse.noLun(name, target.name);
  return { target, lun };
}
