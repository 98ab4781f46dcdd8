// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";
import type { PveProperty } from "../contract.js";

/** PVE hands booleans over as 0, 1, "0", "1" or JSON booleans. */
const pveBoolean = z
  .union([z.boolean(), z.number(), z.string()])
  .transform((value) => !(value === false || value === 0 || value === "0" || value === "" || value === "no"));

const words: Readonly<Record<string, boolean>> = {
  yes: true,
  on: true,
  true: true,
  "1": true,
  no: false,
  off: false,
  false: false,
  "0": false,
};

/** Text in storage.cfg, as the vendor's plugin has it: PVE drops a section whose values it does not accept. */
const yesNo = (otherwise: "yes" | "no") =>
  z
    .string()
    .default(otherwise)
    .refine((text) => text.toLowerCase() in words, "yes or no");

/** Decodes such a text. */
export function isYes(text: string): boolean {
  return words[text.toLowerCase()] === true;
}

/** Numbers come out of storage.cfg as text. */
function number<T extends z.ZodType>(schema: T) {
  return z.preprocess(
    (value) => (typeof value === "string" && /^[0-9]{1,9}$/.test(value) ? Number(value) : value),
    schema,
  );
}

const path = z
  .string()
  .regex(/^\/[^\s]{1,250}$/, "an absolute path")
  .optional();

/** The properties of a section of type `drbd`, with their defaults. */
export const linstorProperties = {
  controller: {
    schema: z.string().default("localhost"),
    pve: {
      description:
        "LINSTOR controllers, comma separated: HOST, HOST:PORT, [IPV6]:PORT or URLs. The active one is found.",
    },
  },
  resourcegroup: {
    schema: z.string().regex(/^[A-Za-z_][A-Za-z0-9_-]{1,47}$/, "the name of a LINSTOR resource group"),
    pve: { description: "LINSTOR resource group of new volumes, and for the capacity." },
  },
  preferlocal: {
    schema: yesNo("yes"),
    pve: { description: "Try to have a replica of new volumes on the node that makes them." },
  },
  exactsize: {
    schema: yesNo("no"),
    pve: { description: "New volumes have exactly the size that was asked for, not the next possible one." },
  },
  allowtwoprimaries: {
    schema: yesNo("yes"),
    pve: {
      description: "Let both nodes of a live migration write, while it lasts. Without it there is none.",
    },
  },
  statuscache: {
    schema: number(z.number().int().min(0).max(7200).default(60)),
    pve: { description: "Seconds that LINSTOR's knowledge of free space may be old; 0 asks the pools." },
  },
  apicrt: { schema: path, pve: { description: "Client certificate for TLS, a file in PEM." } },
  apikey: { schema: path, pve: { description: "Key of the client certificate, a file in PEM." } },
  apica: { schema: path, pve: { description: "CA of the controllers' certificates, a file in PEM." } },
  apitoken: {
    schema: z.string().optional(),
    pve: { sensitive: true, description: "Token for the REST API. Default: that of the node's satellite." },
  },
  apiuser: {
    schema: z
      .string()
      .regex(/^[^:\s]{1,255}$/, "a name without blanks and colons")
      .optional(),
    pve: { description: "User of the REST API, where LINSTOR asks LDAP." },
  },
  apipassword: {
    schema: z.string().optional(),
    pve: { sensitive: true, description: "Password of that user." },
  },
  searchdomain: {
    schema: z
      .string()
      .regex(/^\.?[A-Za-z0-9][A-Za-z0-9.-]{0,200}$/, "a domain")
      .optional(),
    pve: { description: "Domain that LINSTOR's names of nodes have behind PVE's." },
  },
  clusterlocktimeout: {
    schema: number(z.number().int().min(0).optional()),
    pve: { description: "Accepted for sections of the vendor's plugin: no lock of the cluster is taken." },
  },
  content: { schema: z.record(z.string(), pveBoolean).optional(), pve: { core: true } },
  format: { schema: z.enum(["raw"]).optional(), pve: { core: true } },
  nodes: { schema: z.unknown().optional(), pve: { core: true } },
  disable: { schema: pveBoolean.optional(), pve: { core: true } },
  shared: { schema: pveBoolean.optional(), pve: { core: true } },
  bwlimit: { schema: z.unknown().optional(), pve: { core: true } },
} satisfies Record<string, { schema: z.ZodType; pve: PveProperty }>;
