// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import { waitUntil } from "../../common/wait.js";
import type { VolumeRef } from "../contract.js";
import { isDiskful, isTieBreaker } from "./lookup.js";
import { sameName } from "./names.js";
import type { Session } from "./session.js";
import type { Resource } from "./shapes.js";

/** Names of the nodes that have it open. */
export function usersOf(rows: readonly Resource[]): string[] {
  return rows.flatMap(({ inUse, node }) => (inUse ? [node] : []));
}

/**
 * Nobody has the definition open. What is just being closed is waited for. A node that does not answer may have it open,
 * unless it only breaks ties.
 *
 * @throws `busy`, `unreachable`
 */
export async function requireUnused(
  session: Session,
  ctx: Context,
  definition: string,
  what: string,
): Promise<readonly Resource[]> {
  const rows = await requireClosed(session, ctx, definition, what);
  requireNone(what, await silentNodes(session, ctx, rows));
  return rows;
}

/**
 * The same before a deletion, which LINSTOR finishes on a node that is away when it is back: one that is cut off from the
 * volume is no reason to keep it. Gives the names of such nodes.
 *
 * @throws `busy`, `unreachable`
 */
export async function requireGivenUp(
  session: Session,
  ctx: Context,
  definition: string,
  ref: VolumeRef,
  what: string,
): Promise<readonly string[]> {
  const rows = await requireClosed(session, ctx, definition, what);
  const silent = await silentNodes(session, ctx, rows);
  const doubtful: string[] = [];
  for (const node of silent) if (!(await isCutOff(session, rows, ref, node))) doubtful.push(node);
  requireNone(what, doubtful);
  if (silent.length > 0)
    ctx.log.warn("nodes that do not answer are cut off from a volume that is deleted", {
      volname: ref.volname,
      nodes: silent,
    });
  return silent;
}

/** No node says that it has it open. */
async function requireClosed(
  session: Session,
  ctx: Context,
  definition: string,
  what: string,
): Promise<readonly Resource[]> {
  const { resources } = session.client;
  let rows = await resources.view(ctx, definition);
  const free = async () => {
    if (usersOf(rows).length === 0) return true;
    rows = await resources.view(ctx, definition);
    return usersOf(rows).length === 0;
  };
  if (!(await waitUntil(free, session.patience.closingMs, ctx.signal))) {
    const nodes = usersOf(rows).join(", ");
    throw fail("busy", `${what}: it is in use on node ${nodes}; stop what uses it there`);
  }
  return rows;
}

function requireNone(what: string, silent: readonly string[]): void {
  if (silent.length === 0) return;
  throw fail(
    "unreachable",
    `${what}: node ${silent.join(", ")} does not answer and may have it open; ` +
      "bring the node back, or give it up with linstor node lost",
  );
}

/**
 * A node that does not answer, and that DRBD does not reach either, while a good replica is left; and PVE has no guest there
 * that uses the volume. Where DRBD still is connected only the satellite is down: what uses the volume goes on.
 */
async function isCutOff(
  { cluster, section }: Session,
  rows: readonly Resource[],
  ref: VolumeRef,
  node: string,
): Promise<boolean> {
  const isThis = (peer: string) => sameName(peer, node);
  const told = rows.filter(({ inUse }) => inUse !== undefined);
  if (told.some(({ connected }) => connected.some(isThis))) return false;
  const left = told.some(
    (row) => isDiskful(row) && row.diskState === "UpToDate" && row.disconnected.some(isThis),
  );
  return left && !(await cluster.mayUse(hostOf(node, section.domain), ref));
}

/** PVE's name of one of LINSTOR's nodes. */
function hostOf(node: string, domain: string): string {
  return node.toLowerCase().endsWith(domain.toLowerCase())
    ? node.slice(0, node.length - domain.length)
    : node;
}

/** The same, looking at other nodes than this one. */
export async function requireUnusedElsewhere(
  session: Session,
  ctx: Context,
  definition: string,
  what: string,
): Promise<void> {
  const rows = await session.client.resources.view(ctx, definition);
  const others = usersOf(rows).filter((node) => !sameName(node, session.node));
  if (others.length > 0)
    throw fail("busy", `${what}: it is in use on node ${others.join(", ")}; stop what uses it there`);
}

/** Stacks without DRBD never tell whether they are open: only the silence of a node's satellite counts. */
async function silentNodes(session: Session, ctx: Context, rows: readonly Resource[]): Promise<string[]> {
  const unknown = rows.filter((row) => row.inUse === undefined && !isTieBreaker(row));
  if (unknown.length === 0) return [];
  const online = await session.client.onlineNodes(ctx);
  return unknown.flatMap(({ node }) => (online.has(node.toLowerCase()) ? [] : [node]));
}
