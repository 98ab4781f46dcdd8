// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Snapshot } from "../arrays/contract.js";
import type { Context } from "../common/context.js";
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
  await storage.driver.deleteSnapshot({ ...ctx, signal: AbortSignal.timeout(undoLimitMs) }, ref, args.snap);
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

/** What PVE's `volume_rollback_is_possible` says: newer snapshots block where the array cannot skip them. */
export async function rollbackIsPossible(
  storage: Storage,
  ctx: Context,
  args: SnapshotArgs,
): Promise<{ possible: boolean; blockers: string[]; reason?: string }> {
  const ref = storage.names.parse(args.volname);
  const snapshots = await storage.driver.listSnapshots(ctx, ref);
  const index = snapshots.findIndex((snapshot) => snapshot.name === args.snap);
  if (index < 0) {
    return {
      possible: false,
      blockers: [],
      reason: `snapshot '${args.snap}' of '${ref.volname}' does not exist`,
    };
  }
  const { rollbackToAny } = await storage.capabilities(ctx);
  const newer = rollbackToAny ? [] : snapshots.slice(index + 1).map((snapshot) => snapshot.name);
  if (newer.length === 0) return { possible: true, blockers: [] };
  return {
    possible: false,
    blockers: newer,
    reason: `'${args.snap}' is not the newest snapshot of '${ref.volname}'; delete ${newer.join(", ")} first`,
  };
}

/** PVE's `volume_snapshot_rollback`: content and size of the snapshot come back. */
export async function volumeSnapshotRollback(
  storage: Storage,
  ctx: Context,
  args: SnapshotArgs,
): Promise<void> {
  const ref = storage.names.parse(args.volname);
  const answer = await rollbackIsPossible(storage, ctx, args);
  if (!answer.possible) {
    throw fail(answer.blockers.length > 0 ? "refused" : "absent", `roll back: ${answer.reason}`);
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
