// SPDX-License-Identifier: AGPL-3.0-or-later
import { chmod, rm, writeFile } from "node:fs/promises";
import { codeOf, fail } from "../../common/errors.js";
import { native } from "../../common/native.js";
import type { ImportTarget, VolumeRef } from "../contract.js";
import { creatingIn, removeIfEmpty, syncDirectory } from "./files.js";
import type { Layout } from "./layout.js";
import { removeLeftovers } from "./leftovers.js";
import { imageMode } from "./volumes.js";

/**
 * Imports: the stream writes a nameless file and gives it a hidden name at its end; the commit gives it the volume's
 * name, unless somebody else has taken that. An empty mark keeps the guest's directory meanwhile.
 */
export async function beginImport(layout: Layout, ref: VolumeRef): Promise<ImportTarget> {
  await removeLeftovers(layout, ref);
  await creatingIn(layout.guest(ref.vmid), () => writeFile(layout.importMark(ref), "", { mode: 0o600 }));
  return { kind: "create", path: layout.imported(ref), zeroed: true };
}

export async function commitImport(layout: Layout, ref: VolumeRef): Promise<void> {
  const hidden = layout.imported(ref);
  try {
    await chmod(hidden, imageMode);
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
  await rm(layout.imported(ref), { force: true });
  await rm(layout.importMark(ref), { force: true });
  await removeIfEmpty(layout.guest(ref.vmid));
}
