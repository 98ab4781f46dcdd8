// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import type { VolumeRef } from "../contract.js";
import { means } from "./answer.js";
import { clonesOf } from "./clone.js";
import { dropExports } from "./exports.js";
import { find } from "./lookup.js";
import { plainName, sameName } from "./names.js";
import { forgetName } from "./records.js";
import type { Session } from "./session.js";
import type { LinstorSnapshot } from "./shapes.js";
import { requireGivenUp } from "./use.js";

/** How often a snapshot may appear while we delete them all. */
const rounds = 3;

/**
 * Deletes a volume with its snapshots, whoever took them: LINSTOR refuses to delete a definition that has any. False when
 * there was none. A half-made one is deleted too.
 */
export async function deleteVolume(session: Session, ctx: Context, ref: VolumeRef): Promise<boolean> {
  const { definitions, snapshots } = session.client;
  const found = await find(session, ctx, ref, { unfinished: true });
  if (!found) return false;
  const { name } = found.definition;
  const what = `delete '${ref.volname}'`;
  const all = await definitions.list(ctx);
  const clones = clonesOf(session, all, name);
  if (clones.length > 0) throw fail("busy", `${what}: ${clones.join(", ")} depends on it; delete that first`);
  const away = await requireGivenUp(session, ctx, name, ref, what);
  if (away.length > 0) requireNoCopies(await snapshots.list(ctx, name), away, what);
  await dropExports(session, ctx, all, { definition: name }, what);
  for (let round = 1; ; round++) {
    for (const { name: snapshot } of await snapshots.list(ctx, name))
      await snapshots.delete(ctx, name, snapshot);
    try {
      await definitions.delete(ctx, name);
      break;
    } catch (error) {
      if (round >= rounds || !means(error, "has-snapshots")) throw error;
    }
  }
  await forgetName(session, ref.name, name);
  // The name of a definition that was renamed is free again.
  await forgetName(session, plainOf(name), "-");
  return true;
}

/** LINSTOR keeps a snapshot until all of its copies are gone, and the definition as long. */
function requireNoCopies(all: readonly LinstorSnapshot[], away: readonly string[], what: string): void {
  for (const { name, nodes } of all) {
    const there = away.filter((node) => nodes.some((one) => sameName(one, node)));
    if (there.length === 0) continue;
    throw fail(
      "unreachable",
      `${what}: node ${there.join(", ")} has a copy of snapshot '${name}' and does not answer; ` +
        "bring the node back, or give it up with linstor node lost",
    );
  }
}

/** What a volume of this definition would be called if it had not been renamed. */
function plainOf(definition: string): string {
  return plainName(definition) ?? definition;
}
