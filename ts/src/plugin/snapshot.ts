// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Obstacles, Snapshot, VolumeRef } from "../arrays/contract.js";
import { afterwards, type Context } from "../common/context.js";
import { codeOf, fail } from "../common/errors.js";
import { undoLimitMs } from "./alloc.js";
import type { Storage } from "./storage.js";

interface SnapshotArgs {
  volname: string;
  snap: string;
}

/** PVE's `volume_snapshot`. */
export async function volumeSnapshot(storage: Storage, ctx: Context, args: SnapshotArgs): Promise<void> {
  const ref = storage.names.parse(args.volname);
  if (ref.isBase) throw fail("refused", `snapshot '${ref.volname}': a base is immutable; clone it instead`);
  await requireSnapshots(storage, ctx, ref.volname);
  // Apart from the volumes' domain: a snapshot takes no volume's name.
  const domain = `${storage.driver.domain}#snapshots`;
  const intent = `${ref.volname}@${args.snap}`;
  const repeated = ctx.request?.previous(domain) === intent;
  ctx.request?.intend(domain, intent);
  try {
    await storage.driver.createSnapshot(ctx, ref, args.snap);
  } catch (error) {
    // An earlier attempt of this very request had taken it when the service died.
    if (!repeated || codeOf(error) !== "exists") throw error;
  }
  if (!ctx.signal.aborted) return;
  // Nobody waits for it any more, so no configuration will ever name it.
  await storage.driver.deleteSnapshot(afterwards(ctx, undoLimitMs), ref, args.snap);
  throw ctx.signal.reason;
}

/** PVE's `volume_snapshot_delete`: detaches the snapshot from this node first; a missing one is fine. */
export async function volumeSnapshotDelete(
  storage: Storage,
  ctx: Context,
  args: SnapshotArgs,
): Promise<void> {
  const ref = storage.names.parse(args.volname);
  await storage.detach(ctx, ref, args.snap);
  await storage.driver.deleteSnapshot(ctx, ref, args.snap);
}

/** Whether a rollback is possible; `reason` when it is not. */
interface Prospect {
  readonly possible: boolean;
  readonly blockers: string[];
  readonly reason?: string;
}

/** What PVE's `volume_rollback_is_possible` says: newer snapshots block where the array cannot skip them. */
export async function rollbackIsPossible(
  storage: Storage,
  ctx: Context,
  args: SnapshotArgs,
): Promise<Prospect> {
  const ref = storage.names.parse(args.volname);
  const found = await obstacles(storage, ctx, ref, args.snap);
  if (!found) {
    const reason = `snapshot '${args.snap}' of '${ref.volname}' does not exist`;
    return { possible: false, blockers: [], reason };
  }
  const all = [...found.snapshots, ...found.others];
  if (all.length === 0) return { possible: true, blockers: [] };
  const reason = `'${args.snap}' is not the newest of '${ref.volname}'; delete ${all.join(", ")} first`;
  return { possible: false, blockers: [...found.snapshots], reason };
}

/** What is in the way of a rollback; undefined when there is no such snapshot. */
async function obstacles(
  storage: Storage,
  ctx: Context,
  ref: VolumeRef,
  snap: string,
): Promise<Obstacles | undefined> {
  if (storage.driver.rollbackObstacles) return storage.driver.rollbackObstacles(ctx, ref, snap);
  const names = (await storage.driver.listSnapshots(ctx, ref)).map(({ name }) => name);
  const index = names.indexOf(snap);
  if (index < 0) return undefined;
  const { rollbackToAny } = await storage.capabilities(ctx);
  return { snapshots: rollbackToAny ? [] : names.slice(index + 1), others: [] };
}

/** PVE's `volume_snapshot_rollback`: content and size of the snapshot come back. */
export async function volumeSnapshotRollback(
  storage: Storage,
  ctx: Context,
  args: SnapshotArgs,
): Promise<void> {
  const ref = storage.names.parse(args.volname);
  const { possible, reason } = await rollbackIsPossible(storage, ctx, args);
  if (!possible) {
    const missing = (await obstacles(storage, ctx, ref, args.snap)) === undefined;
    throw fail(missing ? "absent" : "refused", `roll back: ${reason}`);
  }
  await storage.detach(ctx, ref, undefined);
  await storage.driver.rollback(ctx, ref, args.snap);
}

/** PVE's `volume_snapshot_info`. */
export async function volumeSnapshotInfo(
  storage: Storage,
  ctx: Context,
  args: { volname: string },
): Promise<Snapshot[]> {
  return storage.driver.listSnapshots(ctx, storage.names.parse(args.volname));
}

async function requireSnapshots(storage: Storage, ctx: Context, volname: string): Promise<void> {
  const { snapshots } = await storage.capabilities(ctx);
  if (!snapshots) {
    throw fail(
      "unsupported",
      `snapshot '${volname}': storage '${storage.storeid}' cannot take snapshots; for type 'blockio' use XFS or Btrfs`,
    );
  }
}
