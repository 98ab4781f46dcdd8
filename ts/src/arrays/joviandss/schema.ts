// SPDX-License-Identifier: AGPL-3.0-or-later
import { isIP } from "node:net";
import * as z from "zod";
import { fail } from "../../common/errors.js";
import { Secret } from "../../common/secret.js";
import { blockSizeOf, legacyProperties, properties } from "./properties.js";
import { targetPrefix } from "./targets.js";

/** The properties of a section of type `joviandss`. */
export const joviandssProperties = { ...properties, ...legacyProperties };

const sectionSchema = z.object(
  Object.fromEntries(Object.entries(properties).map(([name, { schema }]) => [name, schema])) as {
    [K in keyof typeof properties]: (typeof properties)[K]["schema"];
  },
);

/** What the driver needs of a section. */
export interface JoviandssSection {
  readonly pool: string;
  readonly user: string;
  /** Of sections that earlier plugins wrote; the password file comes first. */
  readonly inlinePassword: Secret | undefined;
  readonly verify: boolean;
  /** Addresses of the REST API, in the order in which they are tried. */
  readonly controlAddresses: readonly string[];
  readonly controlPort: number;
  readonly dataAddresses: readonly string[];
  readonly dataPort: number;
  /** Without colons at its end. */
  readonly targetPrefix: string;
  readonly lunsPerTarget: number;
  readonly thin: boolean;
  /** As the array takes it, such as `16K`, and in bytes. */
  readonly blockSize: { readonly name: string; readonly bytes: number };
  readonly multipath: boolean;
  readonly chapUser: string | undefined;
  readonly clusterPrefix: string | undefined;
  readonly logFile: string;
  readonly debug: boolean;
  /** Content types that the section allows. */
  readonly content: readonly string[];
}

/**
 * Decodes a section.
 *
 * @throws zod's error for a malformed property; `invalid` when there is no address, one is no IP address, or CHAP is on
 *   without a user
 */
export function parseSection(scfg: Readonly<Record<string, unknown>>): JoviandssSection {
  const section = sectionSchema.parse(scfg);
  const control = addresses("control_addresses", section.control_addresses);
  const data = addresses("data_addresses", section.data_addresses);
  if (control.length === 0 && data.length === 0)
    throw fail("invalid", "control_addresses: name at least one address of the array's REST API");
  if (section.chap_enabled && section.chap_user_name === undefined)
    throw fail("invalid", "chap_enabled needs chap_user_name and chap_user_password");
  return {
    pool: section.pool_name,
    user: section.user_name,
    inlinePassword: section.user_password === undefined ? undefined : new Secret(section.user_password),
    verify: section.ssl_cert_verify,
    // Each stands for the other where it is missing.
    controlAddresses: control.length > 0 ? control : data,
    controlPort: section.control_port,
    dataAddresses: data.length > 0 ? data : control,
    dataPort: section.data_port,
    targetPrefix: targetPrefix(section.target_prefix),
    lunsPerTarget: section.luns_per_target,
    thin: section.thin_provisioning,
    blockSize: blockSizeOf(section.block_size),
    multipath: section.multipath,
    chapUser: section.chap_enabled ? section.chap_user_name : undefined,
    clusterPrefix: section.cluster_prefix,
    logFile: section.log_file,
    debug: section.debug,
    content: Object.entries(section.content ?? { images: true, rootdir: true })
      .filter(([, on]) => on)
      .map(([type]) => type),
  };
}

/** A list of IP addresses, each once. Names are refused: an array's addresses move, and a resolver may be on it. */
function addresses(property: string, given: string | undefined): string[] {
  const found = (given ?? "")
    .split(/[\s,;]+/)
    .filter((part) => part !== "")
    .map((part) => part.replace(/^\[(.*)\]$/, "$1"));
  for (const address of found)
    if (isIP(address) === 0) throw fail("invalid", `${property}: '${address}' is not an IP address`);
  return [...new Set(found)];
}
