// SPDX-License-Identifier: AGPL-3.0-or-later
import { afterwards, type Context, steady } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import type { Bytes } from "../../common/size.js";
import type { VolumeRef } from "../contract.js";
import { means } from "./answer.js";
import { exportObjectName, snapshotObjectName } from "./names.js";
import { idOf, objectOf, type Session } from "./session.js";

/** How long taking something back may take, in milliseconds: the caller's time may be over. */
const undoMs = 10_000;
/** PVE's longest name of a snapshot. */
const longestSnapshot = "s".repeat(40);

/** Makes an empty volume of whole blocks. */
export async function createVolume(
  session: Session,
  ctx: Context,
  ref: VolumeRef,
  size: Bytes,
): Promise<VolumeRef> {
  const { section, client } = session;
  if (size <= 0n) throw fail("invalid", "a volume needs a size; give one in GiB, as in STORAGE:8");
  const object = await vacant(session, ctx, ref);
  const { name: blockSize, bytes } = section.blockSize;
  // The array would round down.
  const whole = rounded(size, BigInt(bytes));
  await client.volumes.create(steady(ctx), object, { size: whole, thin: section.thin, blockSize });
  return ref;
}

/** A size in whole blocks. */
export function rounded(size: Bytes, block: Bytes): Bytes {
  return ((size + block - 1n) / block) * block;
}

/** The array's name of a volume to come. Throws `exists`; `invalid` when it is too long for exports of its snapshots. */
export async function vacant(session: Session, ctx: Context, ref: VolumeRef): Promise<string> {
  exportObjectName(idOf(session, ref), longestSnapshot);
  const object = objectOf(session, ref);
  if (await session.client.volumes.find(ctx, object))
    throw fail("exists", `volume '${ref.volname}' already exists; choose another name`);
  return object;
}

/** Where a clone comes from, in the array's names. */
interface Origin {
  readonly volume: string;
  readonly snapshot: string;
}

/** Makes a clone of a base, or of a snapshot. */
export async function cloneVolume(
  session: Session,
  ctx: Context,
  source: VolumeRef,
  snapshot: string | undefined,
  target: VolumeRef,
): Promise<VolumeRef> {
  const volume = objectOf(session, source);
  const object = await vacant(session, ctx, target);
  // As the clone is called, so that whoever deletes that knows what was made for it.
  const calm = steady(ctx);
  const made = snapshot === undefined && (await intermediate(session, calm, volume, object));
  const origin = { volume, snapshot: snapshot === undefined ? object : snapshotObjectName(snapshot) };
  try {
    await cloneOf(session, calm, origin, object);
  } catch (error) {
    await undo(session, ctx, object, origin, made);
    throw error;
  }
  return target;
}

/** Takes back what an attempt may have left: the clone, and the snapshot when it was `made` for it. */
async function undo(
  { client }: Session,
  ctx: Context,
  object: string,
  origin: Origin,
  made: boolean,
): Promise<void> {
  const later = afterwards(ctx, undoMs);
  try {
    const found = (await client.volumes.find(later, object))?.origin;
    // Somebody else's clone of that name stays.
    if (found?.volume === origin.volume && found.snapshot === origin.snapshot)
      await client.volumes.delete(later, object, { recursive: false });
    if (made) await client.snapshots.delete(later, origin.volume, origin.snapshot);
  } catch (error) {
    ctx.log.warn("what a clone that failed has made may be left; deleting the clone removes it", {
      object,
      error,
    });
  }
}

/** The clone itself, reserving space where the section wants that. */
async function cloneOf(
  { client, section }: Session,
  ctx: Context,
  origin: Origin,
  object: string,
): Promise<void> {
  await client.volumes.clone(ctx, origin, object, { thin: true });
  if (!section.thin) await client.volumes.setThin(ctx, object, false);
}

/**
 * The snapshot of a base for one of its clones. Says whether it was made now: a base never changes, so that one which is
 * there, for a clone that has another name by now, is as good.
 */
async function intermediate(
  { client }: Session,
  ctx: Context,
  volume: string,
  name: string,
): Promise<boolean> {
  if (await client.snapshots.find(ctx, volume, name)) {
    try {
      // It may have been made before the volume became a base.
      await client.snapshots.delete(ctx, volume, name);
    } catch (error) {
      if (means(error, "has-clones")) return false;
      throw error;
    }
  }
  await client.snapshots.create(ctx, volume, name);
  return true;
}
