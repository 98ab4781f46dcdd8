// SPDX-License-Identifier: AGPL-3.0-or-later
import { type Context, steady } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import type { Bytes } from "../../common/size.js";
import type { VolumeRef } from "../contract.js";
import { rounded, vacant } from "./allocation.js";
import { parseSnapshotObject } from "./names.js";
import { objectOf, type Session } from "./session.js";
import type { JovianVolume } from "./shapes.js";
import { withdraw } from "./withdraw.js";

/** Grows a volume to whole blocks of its own. */
export async function resizeVolume(
  session: Session,
  ctx: Context,
  ref: VolumeRef,
  size: Bytes,
): Promise<void> {
  const { client } = session;
  const object = objectOf(session, ref);
  const volume = await client.volumes.get(ctx, object);
  const whole = rounded(size, BigInt(volume.blockSize ?? session.section.blockSize.bytes));
  // A size that was rounded up before is the same again.
  if (whole < volume.size)
    throw fail("invalid", `${size} bytes are less than the ${volume.size} that it has; a volume only grows`);
  if (whole > volume.size) await client.volumes.resize(ctx, object, whole);
}

/** Gives a volume without snapshots another name. */
export async function renameVolume(
  session: Session,
  ctx: Context,
  from: VolumeRef,
  to: VolumeRef,
): Promise<VolumeRef> {
  const object = objectOf(session, from);
  const volume = await session.client.volumes.get(ctx, object);
  if (object === objectOf(session, to)) return to;
  const snapshots = (await session.client.snapshots.list(ctx, object)).flatMap(({ name }) => {
    const parsed = parseSnapshotObject(name);
    return parsed?.kind === "snapshot" ? [parsed.snapshot] : [];
  });
  if (snapshots.length > 0)
    throw fail(
      "refused",
      `volume '${from.volname}' has snapshots (${snapshots.join(", ")}); delete them first`,
    );
  await move(session, ctx, volume, from, to);
  return to;
}

/** A base is a volume of another name that takes no writes. */
export async function makeBase(
  session: Session,
  ctx: Context,
  from: VolumeRef,
  to: VolumeRef,
): Promise<VolumeRef> {
  const { volumes } = session.client;
  const volume = await volumes.find(ctx, objectOf(session, from));
  if (volume) await move(session, ctx, volume, from, to);
  else {
    const made = await volumes.find(ctx, objectOf(session, to));
    if (!made) throw fail("absent", `volume '${from.volname}' does not exist; look it up with pvesm list`);
    // An earlier attempt has come as far as that.
    if (made.readOnly) return to;
  }
  await volumes.setReadOnly(ctx, objectOf(session, to), true);
  return to;
}

async function move(
  session: Session,
  ctx: Context,
  { name, guid }: JovianVolume,
  from: VolumeRef,
  to: VolumeRef,
): Promise<void> {
  const object = await vacant(session, ctx, to);
  // A LUN keeps the old name.
  await withdraw(session, ctx, { object: name, vmid: from.vmid }, `rename '${from.volname}'`);
  await session.client.volumes.rename(steady(ctx), name, object, guid);
}
