// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import { means } from "./answer.js";
import type { Session } from "./session.js";

/**
 * Initiators other than this node that are logged in at a target, each once. A failure of the question is one of the call:
 * what is not known may be in use. Without a name of its own this node takes everybody for another one.
 */
export async function othersAt({ client, initiator }: Session, ctx: Context, iqn: string): Promise<string[]> {
  const own = await initiator();
  const sessions = await client.targets.sessions(ctx, iqn).catch((error: unknown) => {
    if (means(error, "absent")) return [];
    throw error;
  });
  const others = new Map<string, string>();
  for (const { initiator: name, ip } of sessions) {
    const key = name.toLowerCase();
    if (key === own) continue;
    const before = others.get(key);
    others.set(key, before === undefined ? `${name} at ${ip}` : `${before}, ${ip}`);
  }
  return [...others.values()].sort();
}

/** Throws `busy` when somebody else is logged in at a target. `what` names operation and object. */
export async function requireAlone(session: Session, ctx: Context, iqn: string, what: string): Promise<void> {
  const others = await othersAt(session, ctx, iqn);
  if (others.length === 0) return;
  throw fail(
    "busy",
    `${what}: target ${iqn} is in use by ${others.join(" and ")}; deactivate its volumes there, ` +
      "or wait until the array drops the sessions of a node that is dead",
  );
}
