// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import type { Snapshot, VolumeRef } from "../contract.js";
import { clonesOf } from "./clone.js";
import { dropExports } from "./exports.js";
import { adopt, takeTogether } from "./group.js";
import { find, isGoing, isWhole, lookUp, pveName, refOf, snapshotsOf } from "./lookup.js";
import { keys, ownWords, snapshotName } from "./names.js";
import type { Session } from "./session.js";
import type { Definition } from "./shapes.js";
import { newSnapshot, takeSnapshot } from "./take.js";

/** Takes a snapshot; while PVE takes one of the whole guest, those of all its disks at one instant. */
export async function createSnapshot(
  session: Session,
  ctx: Context,
  ref: VolumeRef,
  snapshot: string,
): Promise<void> {
  const { snapshots } = session.client;
  const found = await lookUp(session, ctx, ref);
  const { name: definition } = found.definition;
  const prepared = await session.cluster.preparing(session.host, ref.vmid, snapshot);
  const all = await snapshots.list(ctx, definition);
  const same = all.filter(
    (row) => !isGoing(row) && snapshotName(definition, row.name, row.props) === snapshot,
  );
  if (await adopt(session, ctx, definition, same, prepared)) return;
  for (const row of same) {
    if (isWhole(row) && pveName(definition, row) !== undefined)
      throw fail("exists", `snapshot '${snapshot}' of '${ref.volname}' already exists`);
    // A failed attempt, or one that waited for a call that never came.
    await snapshots.delete(ctx, definition, row.name);
  }
  const left = same.length === 0 ? all : await snapshots.list(ctx, definition);
  if (prepared && (await takeTogether(session, ctx, found, snapshot, prepared, left))) return;
  await takeSnapshot(session, ctx, ref.volname, [newSnapshot(definition, snapshot, left)]);
}

/** Deletes a snapshot. Throws `busy` while volumes depend on it, or while it is read. */
export async function deleteSnapshot(
  session: Session,
  ctx: Context,
  ref: VolumeRef,
  snapshot: string,
): Promise<void> {
  const { definitions, snapshots } = session.client;
  const found = await find(session, ctx, ref);
  if (!found) return;
  const { name: definition } = found.definition;
  const others = await definitions.list(ctx);
  await forget(session, ctx, ref, snapshot, others);
  const all = await snapshots.list(ctx, definition);
  const rows = all.filter((row) => snapshotName(definition, row.name, row.props) === snapshot);
  const what = `delete snapshot '${snapshot}' of '${ref.volname}'`;
  for (const { name } of rows) {
    const clones = clonesOf(session, others, definition, name);
    if (clones.length > 0)
      throw fail("busy", `${what}: ${clones.join(", ")} depends on it; delete that first`);
    await dropExports(session, ctx, others, { definition, snapshot: name }, what);
    await snapshots.delete(ctx, definition, name);
  }
}

/** Deletes what was taken together with it for the guest's other disks, when PVE never asked for that. */
async function forget(
  session: Session,
  ctx: Context,
  { vmid }: VolumeRef,
  snapshot: string,
  all: readonly Definition[],
): Promise<void> {
  const { snapshots } = session.client;
  const disks = all.filter((definition) => refOf(session, definition)?.vmid === vmid).map(({ name }) => name);
  for (const row of await snapshots.list(ctx, ...disks)) {
    const waits = ownWords(row.props, keys.group, row.definition) !== undefined;
    if (waits && snapshotName(row.definition, row.name, row.props) === snapshot)
      await snapshots.delete(ctx, row.definition, row.name);
  }
}

/** PVE's snapshots of a volume, oldest first. */
export async function listSnapshots(session: Session, ctx: Context, ref: VolumeRef): Promise<Snapshot[]> {
  const found = await lookUp(session, ctx, ref);
  return (await snapshotsOf(session, ctx, found)).map(({ snapshot, uuid, name, created }) => ({
    name: snapshot,
    id: uuid || name,
    timestamp: Math.floor(created / 1000),
  }));
}
