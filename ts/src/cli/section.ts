// SPDX-License-Identifier: AGPL-3.0-or-later
import { readFileSync } from "node:fs";
import { fail } from "../common/errors.js";
import type { Section } from "./client.js";

/** The cluster's storage configuration. */
export const defaultConfig = "/etc/pve/storage.cfg";

/** Splits `STOREID:VOLNAME`; throws `invalid`. */
export function parseVolumeId(text: string): { storeid: string; volname: string } {
  const match = /^([a-zA-Z][a-zA-Z0-9._-]*[a-zA-Z0-9]):(.+)$/.exec(text);
  if (!match?.[1] || !match[2]) throw fail("invalid", `'${text}' is not a volume ID; write STOREID:VOLNAME`);
  return { storeid: match[1], volname: match[2] };
}

/**
 * The section of a storage: from `PVE_BLOCKIO_SCFG` when the plugin started us (it knows the section already),
 * else from the configuration file.
 */
export function findSection(storeid: string, configFile: string): Section {
  const given = process.env["PVE_BLOCKIO_SCFG"];
  if (given !== undefined) {
    const section = JSON.parse(given) as Section;
    if (section.storeid !== storeid) {
      throw fail("invalid", `PVE_BLOCKIO_SCFG describes storage '${section.storeid}', not '${storeid}'`);
    }
    return section;
  }
  const scfg = parseStorageConfig(readConfig(configFile)).get(storeid);
  if (!scfg) throw fail("absent", `storage '${storeid}' is not in '${configFile}'`);
  return { storeid, scfg };
}

/** The sections of our types, disabled ones too. */
export async function ownSections(configFile: string): Promise<Section[]> {
  const { typeNames } = await import("./service.js");
  return [...parseStorageConfig(readConfig(configFile))]
    .filter(([, { type }]) => typeNames().includes(String(type)))
    .map(([storeid, scfg]) => ({ storeid, scfg }));
}

function readConfig(configFile: string): string {
  try {
    return readFileSync(configFile, "utf8");
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === "EACCES" || code === "EPERM")
      throw fail("refused", `cannot read '${configFile}' (permission denied); run it as root`, error);
    throw fail(
      "absent",
      `cannot read '${configFile}' (${code}); look at systemctl status pve-cluster, or name another file with --config`,
      error,
    );
  }
}

/** Parses storage.cfg into its sections, decoding the list-valued properties as PVE does. */
export function parseStorageConfig(text: string): Map<string, Record<string, unknown>> {
  const sections = new Map<string, Record<string, unknown>>();
  let current: Record<string, unknown> | undefined;
  for (const line of text.split("\n")) {
    if (/^\s*(?:#|$)/.test(line)) continue;
    const header = /^([^\s:]+):\s*(\S+)\s*$/.exec(line);
    const property = /^\s+([^\s=]+)(?:\s+(.*?))?\s*$/.exec(line);
    if (header?.[1] && header[2]) {
      current = { type: header[1].toLowerCase() };
      sections.set(header[2], current);
    } else if (property?.[1] && current) {
      current[property[1]] = decode(property[1], property[2] ?? "1");
    }
  }
  return sections;
}

function decode(key: string, value: string): unknown {
  const list = value.split(/[\s,;]+/).filter((item) => item !== "");
  if (key === "content" || key === "nodes") return Object.fromEntries(list.map((item) => [item, true]));
  if (key === "content-dirs") return Object.fromEntries(list.map((item) => item.split("=", 2)));
  return value;
}
