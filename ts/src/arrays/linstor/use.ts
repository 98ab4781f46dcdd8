// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import { waitUntil } from "../../common/wait.js";
import { isTieBreaker } from "./lookup.js";
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
  const silent = await silentNodes(session, ctx, rows);
  if (silent.length > 0)
    throw fail(
      "unreachable",
      `${what}: node ${silent.join(", ")} does not answer and may have it open; ` +
        "bring the node back, or give it up with linstor node lost",
    );
  return rows;
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
