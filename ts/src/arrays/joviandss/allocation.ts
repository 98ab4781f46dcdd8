// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import type { Bytes } from "../../common/size.js";
import type { VolumeRef } from "../contract.js";
import { means } from "./answer.js";
import { exportObjectName, snapshotObjectName } from "./names.js";
import { idOf, objectOf, type Session } from "./session.js";

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
  await client.volumes.create(ctx, object, { size: whole, thin: section.thin, blockSize });
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

/** Makes a clone of a base, or of a snapshot. */
export async function cloneVolume(
  session: Session,
  ctx: Context,
  source: VolumeRef,
  snapshot: string | undefined,
  target: VolumeRef,
): Promise<VolumeRef> {
  const { volumes } = session.client;
  const volume = objectOf(session, source);
  const object = await vacant(session, ctx, target);
  if (snapshot !== undefined) {
    await cloneOf(session, ctx, { volume, snapshot: snapshotObjectName(snapshot) }, object);
    return target;
  }
  // As the clone is called, so that whoever deletes that knows what was made for it.
  const made = await intermediate(session, ctx, volume, object);
  try {
    await cloneOf(session, ctx, { volume, snapshot: object }, object);
  } catch (error) {
    if (made) await undo(session, ctx, volume, object);
    throw error;
  }
  return target;

  /** Takes what an attempt may have left back, the clone before its snapshot. */
  async function undo(of: Session, at: Context, from: string, name: string): Promise<void> {
    const later = { ...at, signal: AbortSignal.timeout(10_000) };
    try {
      const { origin } = (await volumes.find(later, name)) ?? {};
      // Somebody else's clone of that name stays.
      if (origin?.volume === from && origin.snapshot === name)
        await volumes.delete(later, name, { recursive: false });
      await of.client.snapshots.delete(later, from, name);
    } catch (error) {
      at.log.warn("the snapshot of a clone that failed may be left; deleting the clone's name removes it", {
        snapshot: `${from}@${name}`,
        error,
      });
    }
  }
}

/** The clone itself, reserving space where the section wants that. */
async function cloneOf(
  { client, section }: Session,
  ctx: Context,
  from: { readonly volume: string; readonly snapshot: string },
  object: string,
): Promise<void> {
  await client.volumes.clone(ctx, from, object, { thin: true });
  if (section.thin) return;
  try {
    await client.volumes.setThin(ctx, object, false);
  } catch (error) {
    const later = { ...ctx, signal: AbortSignal.timeout(10_000) };
    await client.volumes.delete(later, object, { recursive: false }).catch((undone: unknown) => {
      ctx.log.warn("a clone that could not reserve its space may be left", { object, error: undone });
    });
    throw error;
  }
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
