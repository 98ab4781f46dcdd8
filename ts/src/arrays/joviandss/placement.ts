// SPDX-License-Identifier: AGPL-3.0-or-later
import { setTimeout as sleep } from "node:timers/promises";
import { afterwards, type Context, steady } from "../../common/context.js";
import { codeOf, fail } from "../../common/errors.js";
import { access, settled } from "./access.js";
import { means } from "./answer.js";
import { othersAt } from "./guard.js";
import { parseVolumeObject } from "./names.js";
import type { Portals } from "./portals.js";
import { ownId, type Session } from "./session.js";
import type { JovianTarget, LunAttachment } from "./shapes.js";
import { targetIndex, targetName } from "./targets.js";
import { removeIfEmpty } from "./withdraw.js";

/** What is to be put on a target. */
export interface Placed {
  /** The array's name of the zvol. */
  readonly object: string;
  /** The guest whose targets it goes to. */
  readonly vmid: number;
  /** Shares its target with nobody, so that whoever is logged in there reads it. */
  readonly alone: boolean;
}

/** Where it is. */
export interface Place {
  readonly iqn: string;
  readonly lun: number;
  readonly scsiId?: string;
}

/** How often another place is looked for when somebody else was faster, and the pauses between, in milliseconds. */
const rounds = 6;
const pauseMs = 100;

/** Puts a zvol on one of its guest's targets, or leaves it where it is; in the end the target lets in whom it should. */
export async function place(
  session: Session,
  ctx: Context,
  what: Placed,
  portals: Portals,
  known: readonly LunAttachment[],
): Promise<Place> {
  for (let round = 1, found = known; ; round++) {
    const there = await keep(session, ctx, what, found);
    const result = there ?? (await attach(session, ctx, what, portals));
    if (result !== undefined) {
      if (there) await settled(session, ctx, there.iqn, access(session, portals));
      return result;
    }
    if (round >= rounds)
      throw fail("busy", `no place for '${what.object}' on the targets of guest ${what.vmid}; try again`);
    await sleep(pauseMs * (0.5 + Math.random()) * round, undefined, { signal: ctx.signal });
    found = await session.client.targets.attachments(ctx, what.object);
  }
}

/** The place that it has; one on a target of another name only while somebody uses it there. */
async function keep(
  session: Session,
  ctx: Context,
  { object, vmid }: Placed,
  found: readonly LunAttachment[],
): Promise<Place | undefined> {
  const [only, second] = found;
  if (second)
    throw fail(
      "refused",
      `'${object}' is attached twice: ${found.map(nameOf).join(", ")}; detach it from one`,
    );
  if (!only) return undefined;
  const { target: iqn, lun, scsiId } = only;
  if (iqn === undefined)
    throw fail("unreachable", `'${object}' is attached to a target that JovianDSS does not name; try again`);
  const { targets } = session.client;
  const regular = targetIndex(session.section.targetPrefix, vmid, iqn) !== undefined;
  if (!regular) {
    const users = (await othersAt(session, ctx, iqn)).length + (await ownAt(session, ctx, iqn));
    if (users === 0) {
      ctx.log.info("moving a volume to a target of its own name", { object, from: iqn });
      await session.edit(ctx, () => targets.detach(ctx, iqn, object));
      await removeIfEmpty(session, ctx, iqn);
      return undefined;
    }
  }
  const id = scsiId ?? (await targets.lun(ctx, iqn, object))?.scsiId;
  return { iqn, lun, ...(id === undefined ? {} : { scsiId: id }) };
}

function nameOf({ target }: LunAttachment): string {
  return target ?? "a target without name";
}

async function ownAt({ client, initiator }: Session, ctx: Context, iqn: string): Promise<number> {
  const own = await initiator();
  return (await client.targets.sessions(ctx, iqn)).filter((one) => one.initiator.toLowerCase() === own)
    .length;
}

/** Attaches it to a target with room, or to a new one. Undefined when somebody else was faster. */
async function attach(
  session: Session,
  ctx: Context,
  what: Placed,
  portals: Portals,
): Promise<Place | undefined> {
  const { targets } = session.client;
  const all = await targets.list(ctx);
  const room = what.alone ? undefined : await withRoom(session, ctx, what, all);
  const iqn = room?.iqn ?? newName(session, what, all);
  const lun = room?.lun ?? 0;
  const wanted = access(session, portals);
  try {
    await settled(session, ctx, iqn, wanted, room?.target ?? "new");
    await session.edit(ctx, () => targets.attach(steady(ctx), iqn, what.object, lun));
    // A target that was being deleted meanwhile has taken it along.
    const made = await targets.lun(ctx, iqn, what.object);
    if (!made) return undefined;
    return { iqn, lun: made.lun, ...(made.scsiId === undefined ? {} : { scsiId: made.scsiId }) };
  } catch (error) {
    const overtaken =
      means(error, "attached", "lun-taken") || (means(error, "absent") && error.subject !== "volume");
    if (overtaken) return undefined;
    await undo(session, ctx, iqn, codeOf(error));
    throw error;
  }
}

/** A target that was made for nothing does not stay. */
async function undo(session: Session, ctx: Context, iqn: string, reason: string): Promise<void> {
  const later = afterwards(ctx, 10_000);
  await removeIfEmpty(session, later, iqn).catch((error: unknown) => {
    ctx.log.warn("a target without volumes may be left; the next volume of its guest uses it", {
      iqn,
      reason,
      error,
    });
  });
}

/**
 * The first of the guest's targets that has a free number, and that number. One with anything else on it than volumes of
 * this storage is left alone: another cluster's guest of the same number may use it, with users and portals of its own.
 */
async function withRoom(
  session: Session,
  ctx: Context,
  { vmid }: Placed,
  all: readonly JovianTarget[],
): Promise<{ iqn: string; lun: number; target: JovianTarget } | undefined> {
  const { targetPrefix: prefix, lunsPerTarget } = session.section;
  const own = all
    .filter(({ name }) => targetIndex(prefix, vmid, name) !== undefined)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const target of own) {
    const luns = await session.client.targets.luns(ctx, target.name).catch((error: unknown) => {
      if (means(error, "absent")) return undefined;
      throw error;
    });
    if (!luns?.every(({ volume }) => isOwn(session, volume))) continue;
    const taken = new Set(luns.map(({ lun }) => lun));
    for (let lun = 0; lun < lunsPerTarget; lun++)
      if (!taken.has(lun) && luns.length < lunsPerTarget) return { iqn: target.name, lun, target };
  }
  return undefined;
}

function isOwn(session: Session, object: string): boolean {
  const parsed = parseVolumeObject(object);
  return parsed?.kind === "volume" && ownId(session, parsed.id) !== undefined;
}

/** The lowest free one of the guest's names. */
function newName({ section }: Session, { vmid }: Placed, all: readonly JovianTarget[]): string {
  const taken = new Set(all.map(({ name }) => name));
  for (let index = 0; ; index++) {
    const name = targetName(section.targetPrefix, vmid, index);
    if (!taken.has(name)) return name;
  }
}
