// SPDX-License-Identifier: AGPL-3.0-or-later
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { codeOf, during } from "../../common/errors.js";
import { clusterDirectory } from "../guest.js";

/** A section of our type, with its values as they are written. */
export interface StorageSection {
  readonly storeid: string;
  readonly values: ReadonlyMap<string, string>;
}

/** The sections of our type in storage.cfg, those that PVE would not hand over to us included. */
export async function storageSections(): Promise<StorageSection[]> {
  const text = await during("read storage.cfg", () =>
    readFile(join(clusterDirectory(), "storage.cfg"), "utf8").catch((error: unknown) => {
      if (codeOf(error) === "absent") return "";
      throw error;
    }),
  );
  return parseSections(text);
}

/** `joviandss: STOREID`, then indented lines of a name and a value. */
export function parseSections(text: string): StorageSection[] {
  const found: { storeid: string; values: Map<string, string> }[] = [];
  let values: Map<string, string> | undefined;
  for (const line of text.split("\n")) {
    const [, type, storeid] = /^([a-z][a-z0-9-]*):\s*(\S+)\s*$/i.exec(line) ?? [];
    if (storeid !== undefined) {
      values = type === "joviandss" ? new Map() : undefined;
      if (values) found.push({ storeid, values });
      continue;
    }
    const [, name, value = "1"] = /^\s+([A-Za-z0-9_-]+)(?:\s+(.*\S))?\s*$/.exec(line) ?? [];
    if (name !== undefined) values?.set(name, value);
  }
  return found;
}
