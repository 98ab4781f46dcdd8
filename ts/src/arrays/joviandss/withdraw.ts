// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import { means } from "./answer.js";
import { othersAt, requireAlone } from "./guard.js";
import type { Session } from "./session.js";
import type { JovianTarget } from "./shapes.js";
import { targetIndex } from "./targets.js";

/** What is taken from a target. */
export interface Withdrawn {
  /** The array's name of the zvol. */
  readonly object: string;
  /** The guest whose targets it may be on. */
  readonly vmid: number;
}

/**
 * Takes a zvol from its target, which goes with its last LUN. `what` names operation and object. Where there is no LUN any
 * more, an earlier attempt may have left the target.
 *
 * @throws `busy` while another initiator is logged in there
 */
export async function withdraw(
  session: Session,
  ctx: Context,
  { object, vmid }: Withdrawn,
  what: string,
): Promise<void> {
  const { targets } = session.client;
  const found = await targets.attachments(ctx, object);
  if (found.length === 0) {
    const own = ({ name }: JovianTarget) =>
      targetIndex(session.section.targetPrefix, vmid, name) !== undefined;
    for (const { name } of (await targets.list(ctx)).filter(own)) await removeIfEmpty(session, ctx, name);
  }
  for (const { target: iqn } of found) {
    if (iqn === undefined)
      throw fail("unreachable", `${what}: JovianDSS does not name the target of '${object}'; try again`);
    await requireAlone(session, ctx, iqn, what);
    await session.edit(ctx, () => targets.detach(ctx, iqn, object));
    await removeIfEmpty(session, ctx, iqn);
  }
}

/** Deletes a target of a guest that has no LUNs, unless another initiator is logged in there. */
export async function removeIfEmpty(session: Session, ctx: Context, iqn: string): Promise<void> {
  if (!/:vm-[0-9]+-[0-9]+$/.test(iqn)) return;
  const { targets } = session.client;
  // Within the turn: what was empty before the wait for it need not be any more.
  await session.edit(ctx, async () => {
    const luns = await targets.luns(ctx, iqn).catch((error: unknown) => {
      if (means(error, "absent")) return undefined;
      throw error;
    });
    if (!luns || luns.length > 0) return;
    const others = await othersAt(session, ctx, iqn);
    if (others.length > 0) {
      ctx.log.warn("a target without volumes stays, others are logged in", { iqn, others });
      return;
    }
    await targets.delete(ctx, iqn);
  });
}
