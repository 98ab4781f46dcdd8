// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import type { JoviandssSection } from "./schema.js";
import type { Session } from "./session.js";
import type { Vip } from "./shapes.js";

/** Where volumes can be reached: names of the pool's addresses, for targets, and the portals, for initiators. */
export interface Portals {
  readonly vips: readonly string[];
  readonly portals: readonly string[];
}

/**
 * Those of the pool's addresses that the section names for data, in the array's order.
 *
 * @throws `refused` when it names none of them
 */
export async function portalsOf(
  session: Session,
  ctx: Context,
  how: { readonly probe?: boolean } = {},
): Promise<Portals> {
  const { client, section } = session;
  const all = await client.vips(ctx, how);
  const { known: found, missing } = chosen(section, all);
  if (found.length === 0) {
    throw fail(
      "refused",
      `Unable to identify VIP name for ip's: ${section.dataAddresses.join(",")}. Please make sure that VIP are assigned ` +
        `to the Pool: '${section.pool}' has ${all.map(({ address }) => address).join(", ") || "none"}; correct data_addresses`,
    );
  }
  if (missing.length > 0)
    ctx.log.warn("some of data_addresses are no addresses of the pool", { missing, pool: section.pool });
  return {
    vips: found.map(({ name }) => name),
    portals: found.map(({ address }) => portal(section, address)),
  };
}

/** Those of the pool's addresses that a section names for data, and what it names besides. */
export function chosen(
  { dataAddresses }: JoviandssSection,
  vips: readonly Vip[],
): { readonly known: readonly Vip[]; readonly missing: readonly string[] } {
  const wanted = new Set(dataAddresses.map(plain));
  const known = vips.filter(({ address }) => wanted.has(plain(address)));
  return { known, missing: dataAddresses.filter((address) => !hasAddress(known, address)) };
}

function hasAddress(vips: readonly Vip[], address: string): boolean {
  return vips.some((vip) => plain(vip.address) === plain(address));
}

/** All portals that the section names, without asking anybody. */
export function allPortals(section: JoviandssSection): string[] {
  return section.dataAddresses.map((address) => portal(section, address));
}

function portal({ dataPort }: JoviandssSection, address: string): string {
  return address.includes(":") ? `[${address}]:${dataPort}` : `${address}:${dataPort}`;
}

/** One spelling of an address: those of IPv6 have many. */
function plain(address: string): string {
  return address.includes(":") ? new URL(`http://[${address.replace(/%.*$/, "")}]`).hostname : address;
}
