// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import type { Volume, VolumeRef } from "../contract.js";
import { objectOf, refOf, type Session } from "./session.js";
import type { JovianVolume } from "./shapes.js";

/** The volumes of this storage; exports of snapshots and what others keep in the pool are none. */
export async function listVolumes(
  session: Session,
  ctx: Context,
  vmid: number | undefined,
): Promise<Volume[]> {
  const all = await session.client.volumes.list(ctx);
  return all.flatMap((volume) => {
    const ref = refOf(session, volume.name);
    return ref === undefined || (vmid !== undefined && ref.vmid !== vmid)
      ? []
      : [describe(session, ref, volume)];
  });
}

/** Throws `absent` when the array says that there is none. */
export async function getVolume(session: Session, ctx: Context, ref: VolumeRef): Promise<Volume> {
  return describe(session, ref, await session.client.volumes.get(ctx, objectOf(session, ref)));
}

function describe(session: Session, ref: VolumeRef, { size, used, created, origin }: JovianVolume): Volume {
  const parent = origin && refOf(session, origin.volume);
  return {
    ref,
    size,
    ...(used === undefined ? {} : { used }),
    ...(parent ? { parent: parent.volname } : {}),
    ...(created === undefined ? {} : { ctime: created }),
  };
}
