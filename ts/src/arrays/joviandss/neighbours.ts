// SPDX-License-Identifier: AGPL-3.0-or-later
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { codeOf, during, fail } from "../../common/errors.js";
import { joviandssProperties } from "./schema.js";
import { targetPrefix } from "./targets.js";

/** A section of storage.cfg, as far as it is looked at. */
interface Neighbour {
  readonly storeid: string;
  readonly values: ReadonlyMap<string, string>;
}

/**
 * Two storages whose targets begin alike would name the targets of one guest alike, and each would end the other's sessions.
 *
 * @throws `refused` when another storage of the cluster has the prefix
 */
export async function requireOwnPrefix(storeid: string, prefix: string): Promise<void> {
  const path = join(process.env["PVE_BLOCKIO_CLUSTER_DIR"] ?? "/etc/pve", "storage.cfg");
  const text = await during("read storage.cfg", () =>
    readFile(path, "utf8").catch((error: unknown) => {
      if (codeOf(error) === "absent") return "";
      throw error;
    }),
  );
  const other = neighbours(text).find(
    (one) => one.storeid !== storeid && !isDisabled(one) && prefixOf(one) === prefix,
  );
  if (!other) return;
  throw fail(
    "refused",
    `target_prefix '${prefix}' is also that of storage '${other.storeid}': both would name a guest's targets alike; ` +
      `give each its own, with the name of its pool for instance: pvesm set ${storeid} --target_prefix ${prefix}.${storeid.toLowerCase().replaceAll(/[^a-z0-9.-]/g, "-")}:`,
  );
}

function isDisabled({ values }: Neighbour): boolean {
  const value = values.get("disable");
  return value !== undefined && !["0", "no", "off", "false"].includes(value);
}

function prefixOf({ values }: Neighbour): string | undefined {
  const result = joviandssProperties.target_prefix.schema.safeParse(values.get("target_prefix"));
  return result.success ? targetPrefix(result.data) : undefined;
}

/** Sections of our type: `joviandss: STOREID`, then indented lines of a name and a value. */
function neighbours(text: string): Neighbour[] {
  const found: { storeid: string; values: Map<string, string> }[] = [];
  let values: Map<string, string> | undefined;
  for (const line of text.split("\n")) {
    const head = /^([a-z][a-z0-9-]*):\s*(\S+)\s*$/i.exec(line);
    if (head) {
      values = head[1] === "joviandss" ? new Map() : undefined;
      if (values) found.push({ storeid: head[2] ?? "", values });
      continue;
    }
    const [, name, value = "1"] = /^\s+([A-Za-z0-9_-]+)(?:\s+(.*\S))?\s*$/.exec(line) ?? [];
    if (name !== undefined) values?.set(name, value);
  }
  return found;
}
