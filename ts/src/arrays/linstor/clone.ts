// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import type { VolumeRef } from "../contract.js";
import { LinstorError, means } from "./answer.js";
import { makeVolume } from "./creation.js";
import { type Found, lookUp, refOf, snapshotOf } from "./lookup.js";
import { baseSnapshot, keys, ownWords, sameName } from "./names.js";
import { copiedProperties, layersOf, nodesOf, restoreInto } from "./restore.js";
import type { Session } from "./session.js";
import type { Definition, LinstorSnapshot } from "./shapes.js";

/** Makes a linked clone of a base, or of a snapshot: restored where the snapshot is, then replicated as the group says. */
export async function cloneVolume(
  session: Session,
  ctx: Context,
  source: VolumeRef,
  snapshot: string | undefined,
  target: VolumeRef,
): Promise<VolumeRef> {
  const { client, section } = session;
  const found = await lookUp(session, ctx, source);
  const origin = await originOf(session, ctx, found, snapshot);
  return makeVolume(session, ctx, target, {
    limitMs: session.patience.copyMs,
    create: (calm, name, props, landed) =>
      client.definitions.create(
        calm,
        name,
        { group: section.group, layers: layersOf(found.definition), props },
        landed,
      ),
    complete: async (calm, name) => {
      await restoreInto(session, calm, origin, name, await nodesOf(session, calm, origin));
      await replicate(session, calm, name);
    },
    properties: (name) => ({
      set: { [keys.parent]: `${name} ${found.definition.name} ${origin.name}` },
      unset: copiedProperties.filter((key) => key !== keys.parent),
    }),
  });
}

/** The snapshot that a clone is made of. */
async function originOf(
  session: Session,
  ctx: Context,
  found: Found,
  snapshot: string | undefined,
): Promise<LinstorSnapshot> {
  if (snapshot !== undefined) return snapshotOf(session, ctx, found, snapshot);
  const all = await session.client.snapshots.list(ctx, found.definition.name);
  const origin = all.find(({ name }) => sameName(name, baseSnapshot));
  if (origin) return origin;
  throw fail(
    "unsupported",
    `clone '${found.ref.volname}': its storage pools cannot take snapshots; make a full clone`,
  );
}

/** As many replicas as the group wants. Fewer than that is no reason to have no clone. */
async function replicate(session: Session, ctx: Context, name: string): Promise<void> {
  try {
    await session.client.resources.autoplace(ctx, name);
  } catch (error) {
    if (!(error instanceof LinstorError) || means(error, "auth")) throw error;
    ctx.log.warn("a clone has fewer replicas than its resource group wants", { definition: name, error });
  }
}

/** The clones of a definition, or of one of its snapshots, by PVE's names where they have one. */
export function clonesOf(
  session: Session,
  all: readonly Definition[],
  definition: string,
  snapshot?: string,
): string[] {
  return all.flatMap((one) => {
    if (one.flags.includes("DELETE")) return [];
    const [parent, origin] = ownWords(one.props, keys.parent, one.name) ?? [];
    if (parent === undefined || !sameName(parent, definition)) return [];
    if (snapshot !== undefined && !sameName(origin ?? "", snapshot)) return [];
    return [refOf(session, one)?.volname ?? one.name];
  });
}
