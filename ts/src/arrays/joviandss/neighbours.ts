// SPDX-License-Identifier: AGPL-3.0-or-later
import { fail } from "../../common/errors.js";
import { joviandssProperties } from "./schema.js";
import { type StorageSection, storageSections } from "./storage-cfg.js";
import { targetPrefix } from "./targets.js";

/**
 * Two storages whose targets begin alike would name the targets of one guest alike, and each would end the other's sessions.
 *
 * @throws `refused` when another storage of the cluster has the prefix
 */
export async function requireOwnPrefix(storeid: string, prefix: string): Promise<void> {
  const other = (await storageSections()).find(
    (one) => one.storeid !== storeid && !isDisabled(one) && prefixOf(one) === prefix,
  );
  if (!other) return;
  const suggestion = `${prefix}.${storeid.toLowerCase().replaceAll(/[^a-z0-9.-]/g, "-")}:`;
  throw fail(
    "refused",
    `target_prefix '${prefix}' is also that of storage '${other.storeid}': both would name a guest's targets alike; ` +
      `give each its own: pvesm set ${storeid} --target_prefix ${suggestion}`,
  );
}

function isDisabled({ values }: StorageSection): boolean {
  const value = values.get("disable");
  return value !== undefined && !["0", "no", "off", "false"].includes(value);
}

function prefixOf({ values }: StorageSection): string | undefined {
  const result = joviandssProperties.target_prefix.schema.safeParse(values.get("target_prefix"));
  return result.success ? targetPrefix(result.data) : undefined;
}
