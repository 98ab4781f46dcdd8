// SPDX-License-Identifier: AGPL-3.0-or-later
import { type Context, steady } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import type { TargetAccess } from "./exports.js";
import type { Portals } from "./portals.js";
import type { Session } from "./session.js";
import type { JovianTarget } from "./shapes.js";

/** How a target of this storage lets initiators in. */
export function access({ chap }: Session, { vips }: Portals): TargetAccess {
  return { vips, chap: chap !== undefined };
}

/**
 * Makes a target let in whom it should; makes it when it is `new`, looks at it when it is not `known`. A user comes before
 * the rule that asks for one, so that nobody is locked out of a target in use.
 *
 * @throws `refused` when the array has the name in two pools
 */
export async function settled(
  session: Session,
  ctx: Context,
  iqn: string,
  wanted: TargetAccess,
  known?: JovianTarget | "new",
): Promise<void> {
  const { targets } = session.client;
  const created =
    known === "new" ? await session.edit(ctx, () => targets.create(steady(ctx), iqn, wanted)) : undefined;
  const target = created?.target ?? (typeof known === "object" ? known : await targets.find(ctx, iqn));
  if (!target) return;
  if (target.conflicted)
    throw fail(
      "refused",
      `target ${iqn} exists in two pools of the array; give one of their storages another target_prefix`,
    );
  if (session.chap) await onlyUser(session, ctx, iqn, created?.made ? [] : await targets.users(ctx, iqn));
  if (created?.made) return;
  const change: { -readonly [K in keyof TargetAccess]?: TargetAccess[K] } = {};
  if (target.chap !== wanted.chap) change.chap = wanted.chap;
  if (targets.limitsPortals && !sameVips(target.vips, wanted.vips)) change.vips = wanted.vips;
  if (Object.keys(change).length > 0) await session.edit(ctx, () => targets.setAccess(ctx, iqn, change));
  if (!session.chap && target.chap) {
    for (const name of await targets.users(ctx, iqn))
      await session.edit(ctx, () => targets.deleteUser(ctx, iqn, name));
  }
}

/** Writes the password of the CHAP user once more: the array shows none, so that a new one cannot be noticed. */
export async function renewUser(session: Session, ctx: Context, iqn: string): Promise<void> {
  const { targets } = session.client;
  for (const name of await targets.users(ctx, iqn))
    await session.edit(ctx, () => targets.deleteUser(ctx, iqn, name));
  await onlyUser(session, ctx, iqn, []);
}

async function onlyUser(
  session: Session,
  ctx: Context,
  iqn: string,
  there: readonly string[],
): Promise<void> {
  const { chap, client } = session;
  if (!chap) return;
  if (!there.includes(chap.user))
    await session.edit(ctx, () => client.targets.addUser(ctx, iqn, chap.user, chap.password));
  for (const name of there)
    if (name !== chap.user) await session.edit(ctx, () => client.targets.deleteUser(ctx, iqn, name));
}

/** In whatever order; undefined is everywhere. */
function sameVips(there: readonly string[] | undefined, wanted: readonly string[]): boolean {
  return there !== undefined && there.length === wanted.length && wanted.every((vip) => there.includes(vip));
}
