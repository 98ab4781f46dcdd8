// SPDX-License-Identifier: AGPL-3.0-or-later
import { join } from "node:path";
import type { Leftover } from "../arrays/contract.js";
import { linkDirectory, linkNames } from "../connectors/link.js";

/** Links of storages that are not configured any more: whose their volumes are cannot be asked, so they are only told. */
export async function strayLinks(
  storeids: readonly string[],
  links = linkDirectory(),
): Promise<(Leftover & { readonly storage: string })[]> {
  const found: (Leftover & { readonly storage: string })[] = [];
  for (const storage of await linkNames(links)) {
    if (storeids.includes(storage)) continue;
    for (const name of await linkNames(join(links, storage)))
      found.push({
        storage,
        kind: "volume",
        name,
        why: "active here, and there is no such storage",
        keep: "add the storage again, deactivate the volume, then remove the storage",
      });
  }
  return found;
}
