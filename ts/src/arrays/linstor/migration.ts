// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import type { VolumeRef } from "../contract.js";
import type { Guest } from "../guest.js";
import { means } from "./answer.js";
import { isOn, keys, sameName } from "./names.js";
import type { Session } from "./session.js";
import type { Definition, Resource } from "./shapes.js";
import { usersOf } from "./use.js";

/** On connections: the permission is ours, for as long as a live migration lasts. */
const mark = "Aux/pve-blockio/migration";

/** Whether a volume may be used here while others have it open. */
export type Access = "alone" | "beside" | "migration";

/**
 * Who may open a volume on this node.
 *
 * - Nobody has it open elsewhere: this node.
 * - The guest is being migrated: this node as well, while that lasts. The guest is the one that the volume's name tells, or one
 *   that has it as a disk all the same.
 * - A base, or no node has the guest's configuration: it is read, or nobody can tell; DRBD lets only one write.
 *
 * @throws `refused`, `busy`
 */
export async function accessOf(session: Session, ref: VolumeRef, rows: readonly Resource[]): Promise<Access> {
  const others = usersElsewhere(session, rows);
  if (others.length === 0) return "alone";
  if (ref.isBase) return "beside";
  const guest = ref.vmid === 0 ? undefined : await session.cluster.guest(ref.vmid);
  const { volname } = ref;
  const at = others.join(", ");
  if ((guest && isMigrating(guest)) || (await isMigratingElsewhere(session, volname, others))) {
    if (session.section.liveMigration) return "migration";
    throw fail(
      "refused",
      `'${volname}' is in use on node ${at}, and allowtwoprimaries is off: no live migration`,
    );
  }
  if (guest === undefined) return "beside";
  if (guest.node !== session.host)
    throw fail(
      "refused",
      `'${volname}' is in use on node ${at}, and its guest belongs to node '${guest.node}'; start it there`,
    );
  throw fail("busy", `'${volname}' is in use on node ${at}; stop what uses it there`);
}

/** Whether one of the nodes that have a volume open, by LINSTOR's names, migrates a guest with it. */
async function isMigratingElsewhere(
  { cluster, section, storeid }: Session,
  volname: string,
  users: readonly string[],
): Promise<boolean> {
  for (const node of await cluster.nodes()) {
    if (!users.some((user) => sameName(user, `${node}${section.domain}`))) continue;
    if (await cluster.migrates(node, `${storeid}:${volname}`)) return true;
  }
  return false;
}

/** Names of the other nodes that have it open. */
function usersElsewhere({ node: own }: Session, rows: readonly Resource[]): string[] {
  return usersOf(rows).filter((node) => !sameName(node, own));
}

function isMigrating({ lock, ha }: Guest): boolean {
  return lock === "migrate" || ha?.state === "migrate";
}

/** Lets this node and those that have the volume open write at the same time. */
export async function permit(
  session: Session,
  ctx: Context,
  { name }: Definition,
  rows: readonly Resource[],
): Promise<void> {
  for (const node of usersElsewhere(session, rows)) {
    await session.client.resources.setConnection(ctx, name, [node, session.node], {
      set: { [keys.twoPrimaries]: "yes", [keys.protocol]: "C", [mark]: "yes" },
    });
  }
}

/**
 * Takes that back wherever it was given, for a volume that is not open on this node, or on no other. While two other nodes
 * have it open, their migration is not over.
 */
export async function forbid(
  session: Session,
  ctx: Context,
  { name, layers }: Definition,
  rows: readonly Resource[],
): Promise<void> {
  if (usersElsewhere(session, rows).length > 1 || !layers.includes("DRBD")) return;
  for (const { nodes, props } of await session.client.resources.connections(ctx, name)) {
    if (props[mark] === undefined && !isOn(props[keys.twoPrimaries])) continue;
    try {
      await session.client.resources.setConnection(ctx, name, nodes, {
        unset: [keys.twoPrimaries, keys.protocol, mark],
      });
    } catch (error) {
      // Gone with one of its nodes.
      if (!means(error, "absent")) throw error;
    }
  }
}
