// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";
import { fail } from "../../common/errors.js";
import { type Controller, parseControllers } from "./controllers.js";
import { isYes, linstorProperties } from "./properties.js";

const sectionSchema = z.object(
  Object.fromEntries(Object.entries(linstorProperties).map(([name, { schema }]) => [name, schema])) as {
    [K in keyof typeof linstorProperties]: (typeof linstorProperties)[K]["schema"];
  },
);

/** What the driver needs of a section. */
export interface LinstorSection {
  readonly controllers: readonly Controller[];
  readonly group: string;
  readonly preferLocal: boolean;
  readonly exactSize: boolean;
  readonly liveMigration: boolean;
  /** Seconds. */
  readonly statusCache: number;
  /** Files in PEM. */
  readonly certificates: {
    readonly cert: string | undefined;
    readonly key: string | undefined;
    readonly ca: string | undefined;
  };
  readonly user: string | undefined;
  /** With its dot in front; empty when there is none. */
  readonly domain: string;
  /** Content types that the section allows. */
  readonly content: readonly string[];
}

/**
 * Decodes a section.
 *
 * @throws zod's error for a malformed property; `invalid` for controllers that cannot be, and a certificate without key
 */
export function parseSection(scfg: Readonly<Record<string, unknown>>): LinstorSection {
  const section = sectionSchema.parse(scfg);
  const { apicrt: cert, apikey: key, apica: ca, searchdomain } = section;
  if ((cert === undefined) !== (key === undefined))
    throw fail("invalid", "apicrt and apikey: one needs the other; give both");
  return {
    controllers: parseControllers(section.controller),
    group: section.resourcegroup,
    preferLocal: isYes(section.preferlocal),
    exactSize: isYes(section.exactsize),
    liveMigration: isYes(section.allowtwoprimaries),
    statusCache: section.statuscache,
    certificates: { cert, key, ca },
    user: section.apiuser,
    domain: searchdomain === undefined ? "" : `.${searchdomain.replace(/^\./, "")}`,
    content: Object.entries(section.content ?? { images: true, rootdir: true })
      .filter(([, on]) => on)
      .map(([type]) => type),
  };
}
