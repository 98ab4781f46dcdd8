// SPDX-License-Identifier: AGPL-3.0-or-later
import { chmod, rm, writeFile } from "node:fs/promises";
import { codeOf, fail } from "../../common/errors.js";
import { native } from "../../common/native.js";
import type { Bytes } from "../../common/size.js";
import type { ImportTarget, VolumeRef } from "../contract.js";
import { creatingIn, removeIfEmpty, syncDirectory } from "./files.js";
import type { Layout } from "./layout.js";
import { removeLeftovers } from "./leftovers.js";
import { imageMode, refuseSize } from "./volumes.js";

/** Until it is complete, an imported directory is entered by its import only. */
const unfinishedMode = 0o700;

/**
 * Imports: the stream writes a nameless file and gives it a hidden name at its end, or fills a hidden directory; the commit
 * gives it the volume's name, unless somebody else has taken that. An empty mark keeps the guest's directory meanwhile.
 */
export async function beginImport(layout: Layout, ref: VolumeRef, size: Bytes): Promise<ImportTarget> {
  refuseSize(ref, size);
  await removeLeftovers(layout, ref);
  await creatingIn(layout.guest(ref.vmid), () => writeFile(layout.importMark(ref), "", { mode: 0o600 }));
  const path = layout.imported(ref);
  if (ref.format !== "subvol") return { kind: "create", path, zeroed: true };
  try {
    await native().createTree(path, unfinishedMode);
  } catch (error) {
    await abortImport(layout, ref);
    throw error;
  }
  return { kind: "directory", path, zeroed: true };
}

export async function commitImport(layout: Layout, ref: VolumeRef): Promise<void> {
  const hidden = layout.imported(ref);
  try {
    if (ref.format !== "subvol") await chmod(hidden, imageMode);
    await native().renameExclusive(hidden, layout.volume(ref));
  } catch (error) {
    if (codeOf(error) === "exists") {
      throw fail("exists", `volume '${ref.volname}' was made by somebody else during the import`, error);
    }
    throw error;
  }
  await rm(layout.importMark(ref), { force: true });
  await syncDirectory(layout.guest(ref.vmid));
}

export async function abortImport(layout: Layout, ref: VolumeRef): Promise<void> {
  await native().removeTree(layout.imported(ref));
  await rm(layout.importMark(ref), { force: true });
  await removeIfEmpty(layout.guest(ref.vmid));
}
