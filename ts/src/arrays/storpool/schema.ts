// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";
import { fail } from "../../common/errors.js";
import type { PveProperty } from "../contract.js";
import { parseExtraTags } from "./tags.js";

/** PVE hands booleans over as 0, 1, "0", "1" or JSON booleans. */
const pveBoolean = z
  .union([z.boolean(), z.number(), z.string()])
  .transform((value) => !(value === false || value === 0 || value === "0" || value === "" || value === "no"));

/** StorPool's rule for names of templates. */
const templateName = z
  .string()
  .regex(/^[A-Za-z0-9_-]{1,199}$/, "a name of letters, digits and - _, as StorPool's templates have");

/** The properties of a section of type `storpool`; none is mandatory. */
export const storpoolProperties = {
  template: {
    schema: templateName.optional(),
    pve: {
      description: "StorPool template for new volumes and for the capacity; default is the storage ID.",
    },
  },
  "extra-tags": {
    schema: z.string().max(4096, "at most 4096 characters").optional(),
    pve: { description: "Tags for new volumes and snapshots: key=value, separated by blanks." },
  },
  content: { schema: z.record(z.string(), pveBoolean).optional(), pve: { core: true } },
  format: { schema: z.enum(["raw"]).optional(), pve: { core: true } },
  nodes: { schema: z.unknown().optional(), pve: { core: true } },
  disable: { schema: pveBoolean.optional(), pve: { core: true } },
  shared: { schema: pveBoolean.optional(), pve: { core: true } },
} satisfies Record<string, { schema: z.ZodType; pve: PveProperty }>;

const sectionSchema = z.object({
  template: storpoolProperties.template.schema,
  "extra-tags": storpoolProperties["extra-tags"].schema,
  content: storpoolProperties.content.schema,
});

/** What the driver needs of a section. */
export interface StorpoolSection {
  readonly template: string;
  readonly extraTags: Readonly<Record<string, string>>;
  /** Content types that the section allows. */
  readonly content: readonly string[];
}

/**
 * Decodes a section.
 *
 * @throws zod's error for a malformed property; `invalid` for reserved extra tags, and when the storage ID cannot be
 *   the name of a template and no template is given.
 */
export function parseSection(scfg: Readonly<Record<string, unknown>>, storeid: string): StorpoolSection {
  const section = sectionSchema.parse(scfg);
  if (section.template === undefined && !templateName.safeParse(storeid).success) {
    throw fail(
      "invalid",
      `storage '${storeid}': its ID cannot be the name of a StorPool template; name one with pvesm set --template`,
    );
  }
  return {
    template: section.template ?? storeid,
    extraTags: parseExtraTags(section["extra-tags"]),
    content: Object.entries(section.content ?? { images: true, rootdir: true })
      .filter(([, on]) => on)
      .map(([type]) => type),
  };
}
