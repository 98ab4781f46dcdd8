// SPDX-License-Identifier: AGPL-3.0-or-later
import { type Context, steady } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import { isLostReply } from "../../common/http/lost.js";
import type { Obstacles, Snapshot, VolumeRef } from "../contract.js";
import { means } from "./answer.js";
import { requireAlone } from "./guard.js";
import { exportObjectName, parseSnapshotObject, parseVolumeObject, snapshotObjectName } from "./names.js";
import { idOf, objectOf, type Session } from "./session.js";
import type { JovianSnapshot } from "./shapes.js";
import { requireNoClones } from "./unpublish.js";

/** How often a rollback that got no answer is sent once more. */
const rollbacks = 3;

/** Takes a snapshot. Throws `exists`; `invalid` for a name with which it could not be read. */
export async function createSnapshot(
  session: Session,
  ctx: Context,
  ref: VolumeRef,
  snapshot: string,
): Promise<void> {
  const { snapshots } = session.client;
  exportObjectName(idOf(session, ref), snapshot);
  const [object, name] = [objectOf(session, ref), snapshotObjectName(snapshot)];
  if (await snapshots.find(ctx, object, name))
    throw fail("exists", `snapshot '${snapshot}' of '${ref.volname}' already exists`);
  await snapshots.create(steady(ctx), object, name);
}

/** Deletes a snapshot. Throws `busy` while volumes depend on it, or while it is read. */
export async function deleteSnapshot(
  session: Session,
  ctx: Context,
  ref: VolumeRef,
  snapshot: string,
): Promise<void> {
  const { snapshots } = session.client;
  const [object, name] = [objectOf(session, ref), snapshotObjectName(snapshot)];
  try {
    await snapshots.delete(ctx, object, name);
  } catch (error) {
    if (!means(error, "has-clones")) throw error;
    await requireNoClones(session, ctx, ref, [name], `delete snapshot '${snapshot}'`);
    await snapshots.delete(ctx, object, name);
  }
}

/** PVE's snapshots of a volume, oldest first. */
export async function listSnapshots(session: Session, ctx: Context, ref: VolumeRef): Promise<Snapshot[]> {
  const object = objectOf(session, ref);
  const all = await session.client.snapshots.list(ctx, object);
  const own = all.filter(({ name }) => parseSnapshotObject(name)?.kind === "snapshot");
  return (await inOrder(session, ctx, object, own)).flatMap(({ name, guid, shown = 0, created = shown }) => {
    const parsed = parseSnapshotObject(name);
    return parsed?.kind === "snapshot"
      ? [{ name: parsed.snapshot, id: guid ?? name, timestamp: created }]
      : [];
  });
}

/** Oldest first: by the second, and by the order of creation where that does not tell. */
async function inOrder(
  session: Session,
  ctx: Context,
  volume: string,
  all: readonly JovianSnapshot[],
): Promise<JovianSnapshot[]> {
  const seconds = all.map(({ created }) => created);
  const tells = seconds.every((one) => one !== undefined) && new Set(seconds).size === all.length;
  if (tells) return [...all].sort((a, b) => (a.created ?? 0) - (b.created ?? 0));
  const known = await Promise.all(all.map((one) => withTxg(session, ctx, volume, one)));
  return known.flat().sort((a, b) => (a.txg ?? 0) - (b.txg ?? 0));
}

/** With its place in the order of creation; nothing when it is gone by now. */
async function withTxg(
  { client }: Session,
  ctx: Context,
  volume: string,
  row: JovianSnapshot,
): Promise<JovianSnapshot[]> {
  if (row.txg !== undefined) return [row];
  const found = await client.snapshots.find(ctx, volume, row.name);
  if (!found) return [];
  if (found.txg === undefined)
    throw fail(
      "internal",
      `JovianDSS does not tell the order of '${volume}@${row.name}'; update pve-blockio`,
    );
  return [{ ...found, ...row, txg: found.txg }];
}

/** What a rollback would destroy. Newer snapshots are told by the array's order of creation, never by dates. */
export async function rollbackObstacles(
  session: Session,
  ctx: Context,
  ref: VolumeRef,
  snapshot: string,
): Promise<Obstacles | undefined> {
  const { snapshots, volumes } = session.client;
  const [object, name] = [objectOf(session, ref), snapshotObjectName(snapshot)];
  const lost = await snapshots.rollbackLoss(ctx, object, name).catch((error: unknown) => {
    if (means(error, "absent")) return undefined;
    throw error;
  });
  if (!lost) {
    await volumes.get(ctx, object);
    return undefined;
  }
  if (lost.snapshots === 0 && lost.clones === 0) return { snapshots: [], others: [] };
  const all = await Promise.all(
    (await snapshots.list(ctx, object)).map((one) => withTxg(session, ctx, object, one)),
  );
  const txg = all.flat().find((one) => one.name === name)?.txg;
  if (txg === undefined) return undefined;
  const newer = all.flat().filter((one) => (one.txg ?? 0) > txg);
  const own: string[] = [];
  const others: string[] = [];
  for (const one of newer.sort((a, b) => (a.txg ?? 0) - (b.txg ?? 0))) {
    const parsed = parseSnapshotObject(one.name);
    if (parsed?.kind === "snapshot") own.push(parsed.snapshot);
    else others.push(`snapshot '${one.name}' of the array`);
    if (lost.clones === 0) continue;
    for (const clone of await snapshots.clones(ctx, object, one.name)) {
      const made = parseVolumeObject(clone);
      if (made?.kind === "export") others.push(`snapshot '${made.snapshot}' is active`);
      else others.push(`volume '${made?.id ?? clone}' is a clone of snapshot '${one.name}'`);
    }
  }
  return { snapshots: own, others };
}

/**
 * Brings content and size of a snapshot back. The array would destroy newer snapshots without asking, so it is asked right
 * before, and again before an attempt is repeated.
 *
 * @throws `refused` when something newer would be lost, `busy` while another node uses the volume
 */
export async function rollback(
  session: Session,
  ctx: Context,
  ref: VolumeRef,
  snapshot: string,
): Promise<void> {
  const { snapshots, targets } = session.client;
  const [object, name] = [objectOf(session, ref), snapshotObjectName(snapshot)];
  const what = `roll back to snapshot '${snapshot}'`;
  for (const { target } of await targets.attachments(ctx, object)) {
    if (target === undefined)
      throw fail("unreachable", `${what}: JovianDSS does not name the target of '${object}'; try again`);
    await requireAlone(session, ctx, target, what);
  }
  for (let round = 1; ; round++) {
    const lost = await snapshots.rollbackLoss(ctx, object, name);
    if (lost.snapshots > 0 || lost.clones > 0) {
      const found = await rollbackObstacles(session, ctx, ref, snapshot);
      const all = found ? [...found.snapshots, ...found.others].join(", ") : "what is newer";
      throw fail("refused", `${what}: it would lose ${all}; delete that first`);
    }
    try {
      await snapshots.rollback(ctx, object, name);
      return;
    } catch (error) {
      // To do it twice does no harm while nothing is newer.
      if (!isLostReply(error) || round >= rollbacks || ctx.signal.aborted) throw error;
    }
  }
}
