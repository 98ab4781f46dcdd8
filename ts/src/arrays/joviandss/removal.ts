// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import { waitUntil } from "../../common/wait.js";
import type { VolumeRef } from "../contract.js";
import { means } from "./answer.js";
import { isHidden, parseSnapshotObject } from "./names.js";
import { objectOf, type Session } from "./session.js";
import { requireNoClones } from "./unpublish.js";
import { withdraw } from "./withdraw.js";

/** How often the array may say that something is in the way which this node can take away. */
const rounds = 4;
/** How long the array may go on to show what it has deleted, in milliseconds. */
const goneMs = 10_000;

/**
 * Deletes a volume with its snapshots and the snapshot that was made for it on its base, and looks that it is gone. False
 * when there was none; what an interrupted deletion has left goes then too.
 */
export async function deleteVolume(session: Session, ctx: Context, ref: VolumeRef): Promise<boolean> {
  const { volumes, snapshots } = session.client;
  const object = objectOf(session, ref);
  const what = `delete '${ref.volname}'`;
  const volume = await volumes.find(ctx, object);
  // An entry of a volume that is gone goes as well.
  await withdraw(session, ctx, { object, vmid: ref.vmid }, what);
  if (!volume) {
    await sweep(session, ctx, object);
    return false;
  }
  for (let round = 1; ; round++) {
    try {
      await volumes.delete(ctx, object, { recursive: true });
      break;
    } catch (error) {
      if (round >= rounds) throw error;
      if (means(error, "has-clones")) {
        const names = (await snapshots.list(ctx, object)).map(({ name }) => name);
        await requireNoClones(session, ctx, ref, names, what);
      } else if (means(error, "attached", "busy"))
        await withdraw(session, ctx, { object, vmid: ref.vmid }, what);
      else throw error;
    }
  }
  const gone = async () => (await volumes.find(ctx, object)) === undefined;
  if (!(await waitUntil(gone, goneMs, ctx.signal)))
    throw fail("busy", `${what}: JovianDSS said that it is deleted, and it is still there; look at it there`);
  if (volume.origin) await dropIntermediate(session, ctx, volume.origin);
  return true;
}

/** Deletes the snapshot that was made for a clone; one of a user, or that another clone needs, stays. */
async function dropIntermediate(
  { client }: Session,
  ctx: Context,
  origin: { readonly volume: string; readonly snapshot: string },
): Promise<void> {
  if (parseSnapshotObject(origin.snapshot)?.kind !== "intermediate" && !isHidden(origin.snapshot)) return;
  try {
    await client.snapshots.delete(ctx, origin.volume, origin.snapshot);
  } catch (error) {
    if (!means(error, "has-clones")) throw error;
  }
}

/** Deletes snapshots that were made for a clone which is gone, wherever they are. */
async function sweep(session: Session, ctx: Context, object: string): Promise<void> {
  for (const { volume, name } of await session.client.snapshots.listPool(ctx))
    if (name === object) await dropIntermediate(session, ctx, { volume, snapshot: name });
}
