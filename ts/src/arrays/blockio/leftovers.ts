// SPDX-License-Identifier: AGPL-3.0-or-later
import { rm } from "node:fs/promises";
import { fail } from "../../common/errors.js";
import { native } from "../../common/native.js";
import type { VolumeRef } from "../contract.js";
import { exists, removeIfEmpty } from "./files.js";
import type { Layout } from "./layout.js";

/**
 * Removes what a killed service may have left under the name of a volume that does not exist: snapshots whose
 * volume is gone, a directory that was being deleted.
 */
export async function removeLeftovers(layout: Layout, ref: VolumeRef): Promise<void> {
  if (await exists(layout.volume(ref))) {
    throw fail("exists", `volume '${ref.volname}' already exists`);
  }
  await removeHidden(layout, ref);
  await removeSnapshots(layout, ref);
}

/** Removes this node's own unfinished work on a name: a deletion, an import. */
export async function removeHidden(layout: Layout, ref: VolumeRef): Promise<void> {
  if (ref.format === "subvol") {
    await native().removeTree(layout.trash(ref));
    await native().removeTree(layout.hidden(layout.volume(ref)));
  }
  await native().removeTree(layout.imported(ref));
  await rm(layout.importMark(ref), { force: true });
}

/** Removes all snapshots of a volume that is gone or going. */
export async function removeSnapshots(layout: Layout, ref: VolumeRef): Promise<void> {
  await native().removeTree(layout.snapshots(ref));
  await removeIfEmpty(layout.guestSnapshots(ref.vmid));
}
