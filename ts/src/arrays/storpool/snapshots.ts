// SPDX-License-Identifier: AGPL-3.0-or-later
import { type Context, steady } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import type { Snapshot, VolumeRef } from "../contract.js";
import { detach, detachAll } from "./attach.js";
import { makeSnapshot } from "./creation.js";
import { adopt, takeTogether } from "./group.js";
import { type Found, lookUp, snapshotOf, snapshotsIn, snapshotsOf, tryLookUp } from "./objects.js";
import type { Session } from "./session.js";
import { buildTags, groupMark, ownership, tag } from "./tags.js";

/**
 * Takes a snapshot of a disk. While PVE takes one of the whole guest, the first call takes those of all its disks at one
 * instant, and the calls for the others find theirs.
 */
export async function createSnapshot(
  session: Session,
  ctx: Context,
  ref: VolumeRef,
  snap: string,
): Promise<void> {
  const volume = await lookUp(session, ctx, ref);
  if (volume.ref.kind !== "disk") {
    throw fail("unsupported", `'${volume.name}' is not a disk; only disks have snapshots`);
  }
  const { vmid, disk, gid: parentGid } = volume.ref;
  const prepared = await session.cluster.preparing(session.node, vmid, snap);
  const all = await session.client.snapshots(ctx);
  if (await adopt(session, ctx, snapshotsIn(all, session, parentGid, snap), prepared)) return;
  const [there] = snapshotsIn(all, session, parentGid, snap).filter(({ tags }) => !groupMark(tags));
  if (there) throw fail("exists", `snapshot '${snap}' of '${volume.name}' already exists`);
  if (prepared && (await takeTogether(session, ctx, volume, snap, prepared, all))) return;
  const spec = { kind: "snap", vmid, disk, snap, parentGid } as const;
  const tags = buildTags(session.owner, spec, session.section.extraTags);
  await makeSnapshot(session.client, steady(ctx), parentGid, tags, session.pace);
}

/** Deletes a snapshot, and what was taken together with it for disks that PVE never asked about. */
export async function deleteSnapshot(
  session: Session,
  ctx: Context,
  ref: VolumeRef,
  snap: string,
): Promise<void> {
  const volume = await tryLookUp(session, ctx, ref);
  if (!volume || !("vmid" in volume.ref)) return;
  const all = await session.client.snapshots(ctx);
  const vm = String(volume.ref.vmid);
  const own = snapshotsIn(all, session, volume.ref.gid, snap);
  const forgotten = all.filter(
    ({ tags, deleted }) =>
      !deleted &&
      groupMark(tags) !== undefined &&
      ownership(tags, session.owner) === "ours" &&
      tag(tags, "pve-vm") === vm &&
      tag(tags, "pve-snap") === snap,
  );
  for (const snapshot of new Set([...own, ...forgotten])) {
    await detachAll(session, ctx, snapshot);
    await session.client.deleteSnapshot(ctx, snapshot.gid);
  }
}

/** PVE's view of a volume's snapshots, oldest first. */
export async function listSnapshots(session: Session, ctx: Context, ref: VolumeRef): Promise<Snapshot[]> {
  const volume = await lookUp(session, ctx, ref);
  return (await snapshotsOf(session, ctx, volume.ref.gid)).map(({ tags, gid, ctime }) => ({
    name: tag(tags, "pve-snap") ?? gid,
    id: gid,
    timestamp: ctime,
  }));
}

/** Brings content and size of any snapshot back; newer ones stay. */
export async function rollback(session: Session, ctx: Context, ref: VolumeRef, snap: string): Promise<void> {
  const volume = await lookUp(session, ctx, ref);
  const snapshot = await snapshotOf(session, ctx, volume, snap);
  await detachAll(session, ctx, volume.object);
  await session.client.revert(ctx, volume.ref.gid, snapshot.gid);
}

/** Deletes all snapshots of a volume, also after that is gone itself. */
export async function deleteSnapshots(session: Session, ctx: Context, gid: string): Promise<void> {
  for (const snapshot of snapshotsIn(await session.client.snapshots(ctx), session, gid)) {
    await detach(session, ctx, snapshot);
    await session.client.deleteSnapshot(ctx, snapshot.gid);
  }
}

/** Deletes what was taken together with another volume and never asked for; throws `refused` when there is more. */
export async function requireNoSnapshots(session: Session, ctx: Context, volume: Found): Promise<void> {
  const snapshots = snapshotsIn(await session.client.snapshots(ctx), session, volume.ref.gid);
  const known = snapshots.filter(({ tags }) => !groupMark(tags));
  if (known.length > 0) {
    const names = known.map(({ tags }) => tag(tags, "pve-snap")).join(", ");
    throw fail("refused", `volume '${volume.name}' has snapshots (${names}); delete them first`);
  }
  for (const { gid } of snapshots) await session.client.deleteSnapshot(ctx, gid);
}
