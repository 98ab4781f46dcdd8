// SPDX-License-Identifier: AGPL-3.0-or-later
import { stat, unlink } from "node:fs/promises";
import type { Context } from "../../common/context.js";
import { codeOf, fail } from "../../common/errors.js";
import { native } from "../../common/native.js";
import type { Snapshot, VolumeRef } from "../contract.js";
import { creatingIn, exists, namesIn, removeIfEmpty, syncDirectory } from "./files.js";
import type { Layout } from "./layout.js";
import { removeLeftovers } from "./leftovers.js";
import { padToBlocks } from "./padding.js";
import { copyTree, deleteTree, replaceTree } from "./trees.js";
import { getVolume, imageMode, refuseInUse, refuseMounted } from "./volumes.js";

/** Nobody writes to a snapshot. */
const snapshotMode = 0o440;

/** Copies an image or directory by sharing its blocks. */
async function copy(ctx: Context, layout: Layout, ref: VolumeRef, from: string, to: string, mode: number) {
  await sharing(ref, () =>
    ref.format === "subvol"
      ? copyTree(ctx, layout, from, to)
      : native().reflink(from, to, { replace: false, mode }),
  );
}

/** Puts volume and path into what the kernel said about a reflink. */
async function sharing(ref: VolumeRef, body: () => Promise<void>) {
  try {
    await body();
  } catch (error) {
    if (codeOf(error) === "unsupported") {
      throw fail(
        "unsupported",
        `volume '${ref.volname}': this file system cannot share blocks between files; put the storage on XFS or Btrfs`,
        error,
      );
    }
    throw error;
  }
}

export async function createSnapshot(
  ctx: Context,
  layout: Layout,
  ref: VolumeRef,
  name: string,
): Promise<void> {
  await getVolume(layout, ref);
  const target = layout.snapshot(ref, name);
  if (await exists(target)) throw fail("exists", `snapshot '${name}' of '${ref.volname}' already exists`);
  if (ref.format === "raw") await padToBlocks(layout.volume(ref));
  try {
    await creatingIn(layout.snapshots(ref), () =>
      copy(ctx, layout, ref, layout.volume(ref), target, snapshotMode),
    );
  } catch (error) {
    await removeEmptySnapshotDirs(layout, ref);
    throw error;
  }
  await syncDirectory(layout.snapshots(ref));
}

export async function deleteSnapshot(layout: Layout, ref: VolumeRef, name: string): Promise<void> {
  const path = layout.snapshot(ref, name);
  try {
    if (ref.format === "subvol") await deleteTree(layout, path);
    else await unlink(path);
    await syncDirectory(layout.snapshots(ref));
  } catch (error) {
    if (codeOf(error) !== "absent") throw error;
  }
  await removeEmptySnapshotDirs(layout, ref);
}

export async function listSnapshots(layout: Layout, ref: VolumeRef): Promise<Snapshot[]> {
  await getVolume(layout, ref);
  const found: { born: bigint; snapshot: Snapshot }[] = [];
  for (const name of await namesIn(layout.snapshots(ref))) {
    if (name.startsWith(".")) continue;
    const file = await stat(layout.snapshot(ref, name), { bigint: true }).catch((error: unknown) => {
      if (codeOf(error) === "absent") return undefined;
      throw error;
    });
    if (!file) continue;
    // A snapshot is written once, so its change time is its birth; links and modes never change later.
    const born = file.ctimeNs;
    found.push({
      born,
      snapshot: { name, id: `${file.ino}-${born}`, timestamp: Number(born / 1_000_000_000n) },
    });
  }
  return found.sort((a, b) => (a.born < b.born ? -1 : 1)).map(({ snapshot }) => snapshot);
}

export async function rollback(ctx: Context, layout: Layout, ref: VolumeRef, name: string): Promise<void> {
  await getVolume(layout, ref);
  const source = layout.snapshot(ref, name);
  if (!(await exists(source))) throw fail("absent", `snapshot '${name}' of '${ref.volname}' does not exist`);
  const path = layout.volume(ref);
  if (ref.format === "subvol") {
    await refuseMounted(path, `volume '${ref.volname}'`);
    await sharing(ref, () => replaceTree(ctx, layout, source, path));
  } else {
    await refuseInUse(ctx, path, `volume '${ref.volname}'`);
    await sharing(ref, () => native().reflink(source, path, { replace: true, mode: imageMode }));
  }
  await syncDirectory(layout.guest(ref.vmid));
}

export async function cloneVolume(
  ctx: Context,
  layout: Layout,
  source: VolumeRef,
  snapshot: string | undefined,
  target: VolumeRef,
): Promise<void> {
  const from = layout.path(source, snapshot);
  if (!(await exists(from))) {
    throw fail(
      "absent",
      `${snapshot === undefined ? "" : `snapshot '${snapshot}' of `}'${source.volname}' does not exist`,
    );
  }
  await removeLeftovers(layout, target);
  await creatingIn(layout.guest(target.vmid), () =>
    copy(ctx, layout, source, from, layout.volume(target), imageMode),
  );
  await syncDirectory(layout.guest(target.vmid));
}

async function removeEmptySnapshotDirs(layout: Layout, ref: VolumeRef): Promise<void> {
  await removeIfEmpty(layout.snapshots(ref));
  await removeIfEmpty(layout.guestSnapshots(ref.vmid));
}
