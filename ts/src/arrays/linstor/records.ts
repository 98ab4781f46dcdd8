// SPDX-License-Identifier: AGPL-3.0-or-later
import { randomUUID } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { codeOf, during } from "../../common/errors.js";
import { clusterDirectory } from "../guest.js";
import type { Session } from "./session.js";

/*
 * While no controller answers, a volume's definition is the one of the same name, unless the cluster's file system says
 * otherwise: a volume that was renamed, or whose name LINSTOR cannot have. One small file for each of these.
 */

/** Where the notes of a storage are. */
export function recordDirectory(storeid: string): string {
  return join(clusterDirectory(), "priv/storage/drbd", `${storeid}.names`);
}

/** Notes the definition of a volume that has another name. Before it is called so, and before it can be used. */
export async function recordName({ records }: Session, volume: string, definition: string): Promise<void> {
  await during(`note the name of volume '${volume}'`, async () => {
    const made = join(records, `.${randomUUID()}`);
    await mkdir(records, { recursive: true, mode: 0o700 });
    try {
      await writeFile(made, `${definition}\n`, { mode: 0o600 });
      await rename(made, join(records, volume));
    } catch (error) {
      await rm(made, { force: true });
      throw error;
    }
  });
}

/** The definition that a volume has by such a note. */
export async function recordedName({ records }: Session, volume: string): Promise<string | undefined> {
  return during(`look up the name of volume '${volume}'`, async () => {
    try {
      return (await readFile(join(records, volume), "utf8")).trim() || undefined;
    } catch (error) {
      if (codeOf(error) === "absent") return undefined;
      throw error;
    }
  });
}

/** What is called by its own name again, or is gone; a note of another definition stays. */
export async function forgetName(session: Session, volume: string, definition: string): Promise<void> {
  if ((await recordedName(session, volume)) !== definition) return;
  await during(`forget the name of volume '${volume}'`, () =>
    rm(join(session.records, volume), { force: true }),
  );
}
