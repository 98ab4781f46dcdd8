// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";
import type { PveProperty } from "../contract.js";

/** PVE hands booleans over as 0, 1, "0", "1" or JSON booleans. */
function flag<T extends z.ZodType>(schema: T) {
  return z.preprocess((value) => {
    if (value === 0 || value === "0" || value === "" || value === "no") return false;
    return value === 1 || value === "1" || value === "yes" ? true : value;
  }, schema);
}

const boolean = (otherwise: boolean) => flag(z.boolean().default(otherwise));

/** Numbers come out of storage.cfg as text. */
function number<T extends z.ZodType>(schema: T) {
  return z.preprocess(
    (value) => (typeof value === "string" && /^-?[0-9]{1,15}$/.test(value) ? Number(value) : value),
    schema,
  );
}

const within = (minimum: number, maximum: number) => z.number().int().min(minimum).max(maximum);
const port = (otherwise: number) => number(within(1, 65_535).default(otherwise));
const seconds = number(within(0, 86_400).optional());
const blockSizes = ["4K", "8K", "16K", "32K", "64K", "128K", "256K", "512K", "1M"];

/** The properties that count, with their defaults. */
export const properties = {
  pool_name: {
    schema: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.:-]{0,255}$/, "the name of a pool"),
    pve: { fixed: true, description: "Name of the pool, exactly as JovianDSS has it." },
  },
  user_name: {
    schema: z
      .string()
      .regex(/^[^:\s]{1,255}$/, "a name without blanks and colons")
      .default("admin"),
    pve: { description: "User of the REST API." },
  },
  user_password: {
    schema: z.string().optional(),
    pve: { sensitive: true, description: "Password of the REST user." },
  },
  ssl_cert_verify: {
    schema: boolean(true),
    pve: {
      description: "Accept only a certificate that this node trusts. Arrays ship one that it does not.",
    },
  },
  control_addresses: {
    schema: z.string().optional(),
    pve: {
      description:
        "IP addresses of the REST API, comma separated: VIPs of the pool. Default: data_addresses.",
    },
  },
  control_port: { schema: port(82), pve: { description: "Port of the REST API." } },
  data_addresses: {
    schema: z.string().optional(),
    pve: {
      description: "IP addresses for iSCSI, comma separated: VIPs of the pool. Default: control_addresses.",
    },
  },
  data_port: { schema: port(3260), pve: { description: "Port for iSCSI." } },
  target_prefix: {
    schema: z
      .string()
      .regex(/^[a-z0-9.:-]{1,200}$/, "small letters, digits and . : -")
      .default("iqn.2025-04.proxmox.joviandss.iscsi:"),
    pve: { description: "Beginning of all target names. No two storages may have the same." },
  },
  luns_per_target: {
    schema: number(within(1, 16_384).default(8)),
    pve: { description: "Most volumes on a target." },
  },
  thin_provisioning: {
    schema: boolean(true),
    pve: { description: "New volumes reserve no space." },
  },
  block_size: {
    schema: z
      .string()
      .regex(/^ *(?:(?:4|8|16|32|64|128|256|512) *[kK]|1 *[mM]) *$/, `one of ${blockSizes.join(", ")}`)
      .default("16K"),
    pve: { description: "Block size of new volumes, 4K to 1M." },
  },
  multipath: {
    schema: boolean(false),
    pve: { description: "Use all data addresses at once. Takes effect when a volume is next activated." },
  },
  chap_enabled: { schema: boolean(false), pve: { description: "Let only the CHAP user log in." } },
  chap_user_name: {
    schema: z
      .string()
      .regex(/^[a-zA-Z0-9_](?:[a-zA-Z0-9_-]*[a-zA-Z0-9_])?$/, "letters, digits, _ and, inside, -")
      .optional(),
    pve: { description: "CHAP user." },
  },
  chap_user_password: {
    schema: z
      .string()
      .regex(/^[-a-zA-Z0-9_!@%()+?.:;]{12,255}$/, "12 to 255 letters, digits and - _ ! @ % ( ) + ? . : ;")
      .optional(),
    pve: { sensitive: true, description: "CHAP password, 12 to 255 characters." },
  },
  cluster_prefix: {
    schema: z
      .string()
      .regex(/^[a-zA-Z][a-zA-Z0-9]{0,31}$/, "letters and digits, a letter first")
      .optional(),
    pve: { fixed: true, description: "Keeps the volumes of clusters that share a pool apart." },
  },
  log_file: {
    schema: z
      .string()
      .regex(/^\/[^\s]{1,250}$/, "an absolute path")
      .default("/var/log/joviandss/joviandss.log"),
    pve: { description: "Log of this storage, on each node; rotated at 16 MiB, five older ones are kept." },
  },
  debug: { schema: boolean(false), pve: { description: "Log every request too." } },
  content: { schema: z.record(z.string(), flag(z.boolean())).optional(), pve: { core: true } },
  path: { schema: z.unknown().optional(), pve: { core: true } },
  "create-base-path": { schema: z.unknown().optional(), pve: { core: true } },
  "create-subdirs": { schema: z.unknown().optional(), pve: { core: true } },
  "content-dirs": { schema: z.unknown().optional(), pve: { core: true } },
  format: { schema: z.enum(["raw"]).optional(), pve: { core: true } },
  nodes: { schema: z.unknown().optional(), pve: { core: true } },
  disable: { schema: flag(z.boolean().optional()), pve: { core: true } },
  shared: { schema: flag(z.boolean().optional()), pve: { core: true } },
  bwlimit: { schema: z.unknown().optional(), pve: { core: true } },
} satisfies Record<string, { schema: z.ZodType; pve: PveProperty }>;

const lockType = z.enum(["node", "cluster"]).optional();
const ignored = (description: string): PveProperty => ({
  description: `Accepted for sections of the vendor's plugin: ${description}.`,
});

/** The four properties of one of the vendor's locks. */
function lock(name: string) {
  return {
    [`${name}_type`]: { schema: lockType, pve: ignored("scope of a lock") },
    [`${name}_path`]: { schema: z.string().optional(), pve: ignored("place of a lock") },
    [`${name}_acquire_timeout`]: { schema: seconds, pve: ignored("seconds to wait for a lock") },
    [`${name}_hold_timeout`]: { schema: seconds, pve: ignored("seconds to keep a lock") },
  };
}

/** The properties that have no effect. Whatever a section says of them, it can be used. */
export const legacyProperties: Record<string, { schema: z.ZodType; pve: PveProperty }> = {
  delete_timeout: { schema: seconds, pve: ignored("seconds for deleting") },
  jdssc_timeout: { schema: seconds, pve: ignored("seconds for one command") },
  data_copy_bs: { schema: z.string().optional(), pve: ignored("block size of copies") },
  config: { schema: z.string().optional(), pve: ignored("file of its command line") },
  ...lock("jdssc_general_lock"),
  ...lock("jdssc_info_lock"),
  ...lock("multipath_lock"),
};

/** A block size in capitals without blanks, and in bytes. */
export function blockSizeOf(given: string): { name: string; bytes: number } {
  const name = given.replaceAll(" ", "").toUpperCase();
  return { name, bytes: Number.parseInt(name, 10) * (name.endsWith("M") ? 1024 * 1024 : 1024) };
}
