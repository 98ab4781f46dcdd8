// SPDX-License-Identifier: AGPL-3.0-or-later
import { createHash } from "node:crypto";

/*
 * LINSTOR's names have 2 to 48 letters, digits, - and _ and begin with a letter or _; two that differ in case only are the
 * same. PVE's names can be longer and have other characters. What fits is called as PVE calls it, as the vendor's plugin
 * does; what does not gets a shorter name that ends in a hash, and the whole one is kept in a property.
 */

const longest = 48;
const legal = /^[A-Za-z_][A-Za-z0-9_-]{1,47}$/;
/** How names end that were made from others. */
const hashed = /-h[a-z2-7]{10}$/i;
const reserved = new Set(["all", "proxy"]);

/** Properties of ours, on definitions and snapshots. */
export const keys = {
  /** `DEFINITION VOLUME`: the volume's name where the definition has another; the first word tells it from a copy. */
  name: "Aux/pve-blockio/name",
  /** `DEFINITION PARENT SNAPSHOT`: what a linked clone was made of. */
  parent: "Aux/pve-blockio/parent",
  /** Of an unfinished creation: whose it is. */
  request: "Aux/pve-blockio/request",
  /** `DEFINITION VOLUME-DEFINITION SNAPSHOT NODE`: a snapshot made readable on a node. */
  export: "Aux/pve-blockio/export",
  /** On snapshots: PVE's name where LINSTOR's tells another. */
  snapshot: "Aux/pve-blockio/snapshot",
  /** On snapshots: whose attempt has taken it. Another key than on definitions, which get copies of all properties. */
  taken: "Aux/pve-blockio/taken",
  /** On snapshots that wait until PVE asks for them. */
  group: "Aux/pve-blockio/group",
  /** The vendor's: owner of a definition called `pm-XXXXXXXX`. */
  vmid: "Aux/pm/vmid",
  exactSize: "DrbdOptions/ExactSize",
  twoPrimaries: "DrbdOptions/Net/allow-two-primaries",
  protocol: "DrbdOptions/Net/protocol",
} as const;

/** True for what LINSTOR takes as a name. */
export function isLegal(name: string): boolean {
  return legal.test(name) && !reserved.has(name.toLowerCase());
}

/** Ten characters of base32 of a hash. */
function digest(text: string): string {
  const alphabet = "abcdefghijklmnopqrstuvwxyz234567";
  const bytes = createHash("sha256").update(text).digest();
  return Array.from({ length: 10 }, (_, index) => alphabet[(bytes[index] ?? 0) & 31]).join("");
}

/** A legal name for any text: its beginning, to be recognised by people, and a hash. */
export function hashedName(text: string): string {
  const start = text.replaceAll(/[^A-Za-z0-9_-]/gu, "_").slice(0, longest - 12);
  return `${/^[A-Za-z_]/.test(start) ? start : "_"}-h${digest(text)}`;
}

/** The definition's name that a volume would have if nobody had it; undefined when LINSTOR cannot have that. */
export function plainName(name: string): string | undefined {
  const vendor = /^(pm-[0-9a-f]{8})_[0-9]+$/.exec(name)?.[1];
  if (vendor !== undefined) return vendor;
  return isLegal(name) && !hashed.test(name) ? name : undefined;
}

/** Names that a new definition can have, the preferred one first. */
export function definitionNames(storeid: string, name: string): string[] {
  const plain = plainName(name);
  return [...(plain === undefined ? [] : [plain]), hashedName(name), hashedName(`${name} of ${storeid}`)];
}

/** Words of a property, when its first word is the object that has it: restoring a snapshot copies properties. */
export function ownWords(
  props: Readonly<Record<string, string>>,
  key: string,
  definition: string,
): string[] | undefined {
  const [first, ...words] = (props[key] ?? "").split(" ");
  return first === definition && words.length > 0 ? words : undefined;
}

/** The name that a definition's volume has in PVE; undefined when it is none of ours. */
export function volumeName(definition: string, props: Readonly<Record<string, string>>): string | undefined {
  if (ownWords(props, keys.export, definition)) return undefined;
  const given = ownWords(props, keys.name, definition)?.[0];
  if (given !== undefined) return given;
  if (/^pm-[0-9a-f]{8}$/.test(definition)) {
    const vmid = props[keys.vmid] ?? "";
    return /^[1-9][0-9]{2,8}$/.test(vmid) ? `${definition}_${vmid}` : undefined;
  }
  return hashed.test(definition) ? undefined : definition;
}

/**
 * Names that a new snapshot can have beside so many others: as the vendor's plugin calls it, and where that is too long or
 * taken. One of them is free.
 */
export function snapshotNames(definition: string, snapshot: string, others: number): string[] {
  const vendor = `snap_${definition}_${snapshot}`;
  const more = Array.from({ length: others }, (_, index) => hashedName(`${vendor} ${index + 2}`));
  return [...(isLegal(vendor) && !hashed.test(vendor) ? [vendor] : []), hashedName(vendor), ...more];
}

/** The name that a snapshot has in PVE; undefined when it is none of PVE's. */
export function snapshotName(
  definition: string,
  name: string,
  props: Readonly<Record<string, string>>,
): string | undefined {
  const given = ownWords(props, keys.snapshot, definition)?.[0];
  if (given !== undefined) return given;
  const prefix = `snap_${definition}_`;
  if (name.slice(0, prefix.length).toLowerCase() !== prefix.toLowerCase() || hashed.test(name))
    return undefined;
  return name.slice(prefix.length) || undefined;
}

/** The definition that makes a snapshot readable on one node; another one for each number. */
export function exportName(definition: string, snapshot: string, node: string, number = 0): string {
  const more = number === 0 ? "" : `\n${number}`;
  return `pve-export-${digest(`${definition}\n${snapshot}\n${node.toLowerCase()}${more}`)}`;
}

/** True for the name of a definition of {@link exportName}. */
export function isExport(name: string): boolean {
  return /^pve-export-[a-z2-7]{10}$/.test(name);
}

/** LINSTOR's names differ in more than case. */
export function sameName(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase();
}

/** Snapshot of a base that its clones are made of. */
export const baseSnapshot = "pve-blockio-base";

/** How LINSTOR writes booleans. */
export function isOn(value: string | undefined): boolean {
  return value !== undefined && ["true", "yes", "1"].includes(value.toLowerCase());
}
