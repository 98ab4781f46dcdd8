// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";
import type { PveProperty } from "../contract.js";

/** PVE hands booleans over as 0, 1, "0", "1" or JSON booleans. */
const pveBoolean = z
  .union([z.boolean(), z.number(), z.string()])
  .transform((value) => !(value === false || value === 0 || value === "0" || value === "" || value === "no"));

const absolutePath = z
  .string()
  .regex(/^\/[-/a-zA-Z0-9_.@]*$/, "an absolute path of letters, digits and - _ . @ /")
  .refine((path) => !path.split("/").includes(".."), "a path without '..'");

/** The properties of a section of type `blockio`. All of them are PVE's own, so none is declared again. */
export const blockioProperties = {
  path: { schema: absolutePath, pve: { core: true, fixed: true } },
  "content-dirs": { schema: z.record(z.string(), z.string()).optional(), pve: { core: true } },
  is_mountpoint: { schema: z.union([z.string(), z.number(), z.boolean()]).optional(), pve: { core: true } },
  "create-base-path": { schema: pveBoolean.optional(), pve: { core: true } },
  "create-subdirs": { schema: pveBoolean.optional(), pve: { core: true } },
  mkdir: { schema: pveBoolean.optional(), pve: { core: true } },
  preallocation: { schema: z.enum(["off", "metadata", "falloc", "full"]).optional(), pve: { core: true } },
  content: { schema: z.record(z.string(), pveBoolean).optional(), pve: { core: true } },
  format: { schema: z.enum(["raw", "subvol"]).optional(), pve: { core: true } },
  nodes: { schema: z.unknown().optional(), pve: { core: true } },
  disable: { schema: pveBoolean.optional(), pve: { core: true } },
  shared: { schema: pveBoolean.optional(), pve: { core: true } },
  "prune-backups": { schema: z.unknown().optional(), pve: { core: true } },
  "max-protected-backups": { schema: z.unknown().optional(), pve: { core: true } },
  bwlimit: { schema: z.unknown().optional(), pve: { core: true } },
} satisfies Record<string, { schema: z.ZodType; pve: PveProperty }>;

const sectionSchema = z.object({
  path: blockioProperties.path.schema,
  "content-dirs": blockioProperties["content-dirs"].schema,
  is_mountpoint: blockioProperties.is_mountpoint.schema,
  "create-base-path": blockioProperties["create-base-path"].schema,
  "create-subdirs": blockioProperties["create-subdirs"].schema,
  mkdir: blockioProperties.mkdir.schema,
  preallocation: blockioProperties.preallocation.schema,
  content: blockioProperties.content.schema,
});

/** What the driver needs of a section. */
export interface BlockioSection {
  readonly path: string;
  /** The path that must be a mount point, if the section says so. */
  readonly mountpoint: string | undefined;
  readonly createBasePath: boolean;
  readonly createSubdirs: boolean;
  readonly preallocation: "off" | "falloc" | "full";
  /** Sub-directory of each content type, relative to `path`. */
  readonly contentDirs: Readonly<Record<string, string>>;
  /** Content types that the section allows. */
  readonly content: readonly string[];
}

/** Where PVE's directory storages keep each content type. */
export const defaultContentDirs: Readonly<Record<string, string>> = {
  images: "images",
  rootdir: "private",
  iso: "template/iso",
  vztmpl: "template/cache",
  backup: "dump",
  snippets: "snippets",
  import: "import",
};

/** Decodes a section; throws zod's error. */
export function parseSection(scfg: Readonly<Record<string, unknown>>): BlockioSection {
  const section = sectionSchema.parse(scfg);
  const path = section.path.replace(/\/+/g, "/").replace(/(.)\/$/, "$1");
  return {
    path,
    mountpoint: mountpointOf(section.is_mountpoint, path),
    createBasePath: section["create-base-path"] ?? section.mkdir ?? true,
    createSubdirs: (section["create-subdirs"] ?? true) && (section.mkdir ?? true),
    preallocation:
      section.preallocation === undefined || section.preallocation === "metadata"
        ? "off"
        : section.preallocation,
    contentDirs: { ...defaultContentDirs, ...section["content-dirs"] },
    content: Object.entries(section.content ?? { images: true, rootdir: true })
      .filter(([, on]) => on)
      .map(([type]) => type),
  };
}

function mountpointOf(value: string | number | boolean | undefined, path: string): string | undefined {
  if (value === undefined) return undefined;
  const text = String(value).toLowerCase();
  if (["1", "on", "yes", "true"].includes(text)) return path;
  if (["0", "off", "no", "false", ""].includes(text)) return undefined;
  return String(value);
}
