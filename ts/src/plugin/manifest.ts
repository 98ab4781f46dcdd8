// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";
import type { PveProperty, StorageType } from "../arrays/contract.js";
import { storageTypes } from "../arrays/registry.js";

/** The storage API versions of PVE that the shim is tested with. */
export const storageApi = { min: 11, max: 15 } as const;

/** The storage types of this build. */
export function typeNames(): readonly string[] {
  return storageTypes.map(({ type }) => type);
}

type Flags = Record<string, 1>;

function flags(names: readonly string[]): Flags {
  return Object.fromEntries(names.map((name) => [name, 1]));
}

/**
 * The manifest: all that the Perl shim knows about the types, as plain data. Written by the build, read when PVE
 * loads the shim, so that identity, names, paths and features need no I/O there.
 */
export function makeManifest(product: string, types: readonly StorageType[] = storageTypes) {
  return {
    version: 1,
    product,
    api: storageApi,
    types: Object.fromEntries(types.map((type) => [type.type, describeType(type)])),
  };
}

function describeType(type: StorageType) {
  const properties = Object.entries(type.properties);
  return {
    plugindata: {
      content: [flags(type.content.allowed), flags(type.content.default)],
      format: [flags(type.formats.allowed), type.formats.default],
      "sensitive-properties": flags(properties.filter(([, { pve }]) => pve.sensitive).map(([name]) => name)),
    },
    properties: Object.fromEntries(
      properties
        .filter(([, { pve }]) => !pve.core)
        .map(([name, { schema, pve }]) => [name, declare(name, schema, pve)]),
    ),
    options: Object.fromEntries(properties.map(([name, { schema, pve }]) => [name, optionOf(schema, pve)])),
    shared: type.alwaysShared,
    base: type.base,
    locking: type.locking,
    volnames: type.volnames,
    path: type.path,
    snapshotPath: type.snapshotPath,
    features: type.features,
    featureRequires: type.featureRequires,
    cloneFormat: type.formats.default,
    exportFormats: streamNames(type),
    importFormats: streamNames(type),
    streams: Object.assign({}, ...Object.values(type.streams)) as Record<string, string>,
    blockdev: type.blockdev,
    snapshotMethod: "storage",
    arrayNames: type.arrayNames ? 1 : 0,
    needsFsfreeze: type.needsFsfreeze ? 1 : 0,
    needsDeactivation: type.needsDeactivation ? 1 : 0,
  };
}

function streamNames(type: StorageType): Record<string, string[]> {
  return Object.fromEntries(
    Object.entries(type.streams).map(([format, streams]) => [format, Object.keys(streams ?? {})]),
  );
}

function optionOf(schema: z.ZodType, pve: PveProperty): Record<string, 1> {
  const optional = pve.sensitive || schema.safeParse(undefined).success;
  return { ...(optional ? { optional: 1 as const } : {}), ...(pve.fixed ? { fixed: 1 as const } : {}) };
}

/** What PVE's schema language can say of a property; anything else stops the build. */
const expressible = new Set([
  "type",
  "enum",
  "minimum",
  "maximum",
  "default",
  "pattern",
  "maxLength",
  "minLength",
]);

/** A property in PVE's schema language. Throws on what that cannot express, rather than declare less. */
export function declare(name: string, schema: z.ZodType, pve: PveProperty): Record<string, unknown> {
  const { $schema: _, ...json } = z.toJSONSchema(schema, { io: "input" }) as Record<string, unknown>;
  const type = json["type"];
  if (typeof type !== "string" || !["string", "integer", "number", "boolean"].includes(type)) {
    throw new Error(`property '${name}': PVE's schema has no type for ${JSON.stringify(json)}`);
  }
  const foreign = Object.keys(json).filter((key) => !expressible.has(key));
  if (foreign.length > 0)
    throw new Error(`property '${name}': PVE's schema cannot express ${foreign.join(", ")}`);
  if (pve.description === undefined) throw new Error(`property '${name}' has no description`);
  return { description: pve.description, ...json, optional: 1 };
}
