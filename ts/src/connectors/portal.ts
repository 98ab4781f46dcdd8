// SPDX-License-Identifier: AGPL-3.0-or-later
import { isIPv6 } from "node:net";
import { fail } from "../common/errors.js";

/** The address of an iSCSI or NVMe/TCP service. */
export interface Portal {
  readonly address: string;
  readonly port: number;
}

/** Parses `address`, `address:port`, `[ipv6]` or `[ipv6]:port`. @throws `invalid` */
export function parsePortal(text: string, defaultPort: number): Portal {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::([0-9]{1,5}))?$/.exec(text) ?? [];
  const address = bracketed ?? plain ?? (isIPv6(text) ? text : undefined);
  const port = digits === undefined ? defaultPort : Number(digits);
  const wellFormed =
    address !== undefined &&
    /^[A-Za-z0-9.:%_-]{1,253}$/.test(address) &&
    !address.startsWith("-") &&
    (bracketed === undefined || isIPv6(address.replace(/%.*$/, ""))) &&
    port > 0 &&
    port < 65536;
  if (!wellFormed)
    throw fail("invalid", `portal '${text}' is not an address with a port; correct the storage's portals`);
  return { address: address.toLowerCase(), port };
}

/** `address:port`, IPv6 in brackets. */
export function formatPortal({ address, port }: Portal): string {
  return isIPv6(address.replace(/%.*$/, "")) ? `[${address}]:${port}` : `${address}:${port}`;
}
