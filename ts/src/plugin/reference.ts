// SPDX-License-Identifier: AGPL-3.0-or-later
import type * as z from "zod";
import type { PveProperty, StorageType } from "../arrays/contract.js";
import { storageTypes } from "../arrays/registry.js";
import { declare } from "./manifest.js";

/** The configuration reference, `docs/configuration.md`: every property of every type, made of their schemas. */
export function makeReference(types: readonly StorageType[] = storageTypes): string {
  return `${[
    "# Configuration reference",
    "",
    "Every property of `/etc/pve/storage.cfg` that pve-blockio's types know, made of the code by `make docs`. There is no other",
    "configuration. What a property does in full is in the document of its type.",
    "",
    '"fixed" is set when the storage is added and never changes; "secret" is kept outside of storage.cfg; "PVE" is one that Proxmox',
    "VE has for every storage of the kind, and means the same here.",
    ...[...types].sort((a, b) => (a.type < b.type ? -1 : 1)).flatMap(ofType),
  ].join("\n")}\n`;
}

function ofType(type: StorageType): string[] {
  const { content, formats, properties } = type;
  const all = Object.entries(properties);
  const legacy = all.filter(([, { pve }]) => isIgnored(pve));
  return [
    "",
    `## \`${type.type}\``,
    "",
    `Content: ${list(content.allowed)}; default ${list(content.default)}. Formats: ${list(formats.allowed)}; default \`${formats.default}\`.` +
      `${type.alwaysShared ? " Always shared." : ""}`,
    "",
    "| property | type | default | |",
    "| --- | --- | --- | --- |",
    ...all.filter(([, { pve }]) => !isIgnored(pve)).map(([name, { schema, pve }]) => row(name, schema, pve)),
    ...(legacy.length === 0
      ? []
      : ["", `Accepted and without effect: ${list(legacy.map(([name]) => name))}.`]),
  ];
}

function isIgnored({ description = "" }: PveProperty): boolean {
  return description.startsWith("Accepted for ");
}

function row(name: string, schema: z.ZodType, pve: PveProperty): string {
  const marks = [
    ...(pve.core ? ["PVE"] : []),
    ...(pve.fixed ? ["fixed"] : []),
    ...(pve.sensitive ? ["secret"] : []),
  ];
  const value = schema.safeParse(undefined);
  const otherwise = !value.success
    ? "must be given"
    : value.data === undefined
      ? ""
      : `\`${value.data === true ? 1 : value.data === false ? 0 : String(value.data)}\``;
  const kind = pve.core ? "" : kindOf(declare(name, schema, pve));
  const type = [kind, ...marks].filter((part) => part !== "").join(", ");
  return `| \`${name}\` | ${type} | ${otherwise} | ${pve.description ?? ""} |`;
}

function kindOf(declared: Record<string, unknown>): string {
  const { type, minimum, maximum, enum: choices } = declared;
  if (Array.isArray(choices)) return choices.map((choice) => `\`${String(choice)}\``).join(" ");
  if (minimum !== undefined && maximum !== undefined) return `${String(minimum)} to ${String(maximum)}`;
  return String(type) === "string" ? "text" : String(type);
}

function list(names: readonly string[]): string {
  return names.map((name) => `\`${name}\``).join(", ");
}
