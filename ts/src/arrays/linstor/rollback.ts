// SPDX-License-Identifier: AGPL-3.0-or-later
import { setTimeout as sleep } from "node:timers/promises";
import type { Context } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import { isLostReply } from "../../common/http/lost.js";
import type { Obstacles, VolumeRef } from "../contract.js";
import { means } from "./answer.js";
import { isDiskful, isWhole, lookUp, pveName, snapshotOf } from "./lookup.js";
import { baseSnapshot, sameName } from "./names.js";
import type { Session } from "./session.js";
import { requireUnused } from "./use.js";

/** Before these a server did not do it, or not right. */
const toAny = [1, 31, 2];
const bringsSize = [1, 31, 3];
const knowsStrategy = [1, 32];

/** How often a rollback that got no answer, or is under way, is asked for once more. */
const rounds = 5;

/** True when a version is the other one or newer. */
export function isAtLeast(version: readonly number[], other: readonly number[]): boolean {
  for (let index = 0; index < other.length; index++) {
    const [a, b] = [version[index] ?? 0, other[index] ?? 0];
    if (a !== b) return a > b;
  }
  return true;
}

/** Whether the server can roll back to other snapshots than the newest. */
export async function canRollBackToAny(session: Session, ctx: Context): Promise<boolean> {
  return isAtLeast(await session.client.version(ctx), toAny);
}

/** What is in the way of a rollback; undefined when there is no such snapshot. */
export async function rollbackObstacles(
  session: Session,
  ctx: Context,
  ref: VolumeRef,
  snapshot: string,
): Promise<Obstacles | undefined> {
  const found = await lookUp(session, ctx, ref);
  const { name: definition } = found.definition;
  const all = (await session.client.snapshots.list(ctx, definition)).filter(isWhole);
  const index = all.findIndex((row) => pveName(definition, row) === snapshot);
  if (index < 0) return undefined;
  if (await canRollBackToAny(session, ctx)) return { snapshots: [], others: [] };
  const newer = all.slice(index + 1);
  const own = newer.flatMap((row) => pveName(definition, row) ?? []);
  const others = newer
    .filter((row) => pveName(definition, row) === undefined && !sameName(row.name, baseSnapshot))
    .map(({ name }) => `snapshot '${name}' of LINSTOR`);
  return { snapshots: own, others };
}

/**
 * Brings content and size of a snapshot back.
 *
 * @throws `busy` while somebody uses the volume, `unreachable` when a satellite does not answer, `refused` where the server is
 *   too old for it
 */
export async function rollback(
  session: Session,
  ctx: Context,
  ref: VolumeRef,
  snapshot: string,
): Promise<void> {
  const { client } = session;
  const found = await lookUp(session, ctx, ref);
  const { definition } = found;
  const origin = await snapshotOf(session, ctx, found, snapshot);
  const what = `roll back to snapshot '${snapshot}'`;
  const rows = await requireUnused(session, ctx, definition.name, what);
  const version = await client.version(ctx);
  const lacking = rows.filter(
    (row) => isDiskful(row) && !origin.nodes.some((node) => sameName(node, row.node)),
  );
  if (lacking.length > 0) {
    const text = `${what}: node ${lacking.map(({ node }) => node).join(", ")} has no copy of it`;
    if (!isAtLeast(version, toAny))
      throw fail("refused", `${text}, which LINSTOR ${version.join(".")} needs; update LINSTOR to 1.31.2`);
    ctx.log.warn(`${text}; it is replicated there again`);
  }
  const [size] = definition.sizes;
  if (origin.size !== undefined && size !== origin.size && !isAtLeast(version, bringsSize))
    throw fail(
      "refused",
      `${what}: the volume has grown since, and LINSTOR ${version.join(".")} does not bring its size back; ` +
        "update LINSTOR to 1.31.3",
    );
  const strategy = isAtLeast(version, knowsStrategy) ? "dynamic" : undefined;
  for (let round = 1; ; round++) {
    try {
      await client.snapshots.rollback(ctx, definition.name, origin.name, strategy);
      return;
    } catch (error) {
      // To do it twice does no harm while nobody uses the volume.
      if (!(isLostReply(error) || means(error, "busy")) || round >= rounds || ctx.signal.aborted) throw error;
      await sleep(500 * round, undefined, { signal: ctx.signal });
      await requireUnused(session, ctx, definition.name, what);
    }
  }
}
