// SPDX-License-Identifier: AGPL-3.0-or-later
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { codeOf, during } from "../../common/errors.js";
import { clusterDirectory } from "../guest.js";

/*
 * While no controller answers, a volume's definition is the one of the same name, unless the cluster's file system says
 * otherwise: a volume that was renamed, or whose name LINSTOR cannot have. One small file for each of these.
 */

function directory(storeid: string): string {
  return join(clusterDirectory(), "priv/storage/drbd", `${storeid}.names`);
}

/** Notes the definition of a volume that has another name. Before it is called so, and before it can be used. */
export async function recordName(storeid: string, volume: string, definition: string): Promise<void> {
  await during(`note the name of volume '${volume}'`, async () => {
    const path = join(directory(storeid), volume);
    await mkdir(directory(storeid), { recursive: true, mode: 0o700 });
    await writeFile(`${path}.new`, `${definition}\n`, { mode: 0o600 });
    await rename(`${path}.new`, path);
  });
}

/** The definition that a volume has by such a note. */
export async function recordedName(storeid: string, volume: string): Promise<string | undefined> {
  return during(`look up the name of volume '${volume}'`, async () => {
    try {
      return (await readFile(join(directory(storeid), volume), "utf8")).trim() || undefined;
    } catch (error) {
      if (codeOf(error) === "absent") return undefined;
      throw error;
    }
  });
}

/** What is called by its own name again, or is gone; a note of another definition stays. */
export async function forgetName(storeid: string, volume: string, definition: string): Promise<void> {
  if ((await recordedName(storeid, volume)) !== definition) return;
  await during(`forget the name of volume '${volume}'`, () =>
    rm(join(directory(storeid), volume), { force: true }),
  );
}
