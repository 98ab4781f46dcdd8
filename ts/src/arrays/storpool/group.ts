// SPDX-License-Identifier: AGPL-3.0-or-later
import { type Context, steady } from "../../common/context.js";
import { codeOf } from "../../common/errors.js";
import type { PreparedSnapshot } from "../guest-config.js";
import type { GroupSnapshot } from "./client.js";
import { makeGroupSnapshot } from "./creation.js";
import { type Found, recognise, snapshotsIn } from "./objects.js";
import type { StorpoolObject } from "./schemas.js";
import type { Session } from "./session.js";
import { buildTags, groupMark, groupPrefix, requestTag } from "./tags.js";

/*
 * PVE asks for the snapshots of a guest's disks one by one, while its configuration already says which ones. So the first
 * call takes all of them at one instant. Those of the other disks wait, marked with the time of PVE's attempt, until PVE
 * asks for them; what waits is no snapshot for anybody else. An attempt that failed leaves waiting ones of its own time
 * only: they are never mistaken for those of the next attempt.
 */

/**
 * Makes the snapshot that waits for this call one of PVE's, and deletes what waits from an earlier attempt. False when
 * there is none for this one.
 */
export async function adopt(
  session: Session,
  ctx: Context,
  snapshots: readonly StorpoolObject[],
  prepared: PreparedSnapshot | undefined,
): Promise<boolean> {
  if (!prepared) return false;
  let adopted = false;
  for (const { gid, tags } of snapshots) {
    const mark = groupMark(tags);
    if (mark === undefined) continue;
    if (mark.startsWith(groupPrefix(prepared.time))) {
      await release(session, ctx, gid);
      adopted = true;
    } else {
      await session.client.deleteSnapshot(ctx, gid);
    }
  }
  return adopted;
}

/**
 * Takes the snapshots of all disks of the guest on this storage at one instant. False when there is nothing to take
 * together, or StorPool refuses: then each is taken in its turn.
 */
export async function takeTogether(
  session: Session,
  ctx: Context,
  volume: Found,
  snap: string,
  { time, volids }: PreparedSnapshot,
  all: readonly StorpoolObject[],
): Promise<boolean> {
  const { client, owner, section, pace } = session;
  const wanted = new Set(volids);
  const disks = (await client.volumes(ctx)).flatMap((object) => {
    const found = recognise(session, object);
    if (found?.ref.kind !== "disk" || !wanted.has(`${owner.storeid}:${found.name}`)) return [];
    const { vmid, disk, gid } = found.ref;
    if (snapshotsIn(all, session, gid, snap).some(({ tags }) => !groupMark(tags))) return [];
    const spec = { kind: "snap", vmid, disk, snap, parentGid: gid } as const;
    return [{ gid, tags: buildTags(owner, spec, section.extraTags) }];
  });
  if (disks.length < 2 || !disks.some(({ gid }) => gid === volume.ref.gid)) return false;
  const made = await allOrNone(ctx, () =>
    makeGroupSnapshot(client, steady(ctx), disks, { ...pace, prefix: groupPrefix(time) }),
  );
  const own = made?.find(({ volumeGid }) => volumeGid === volume.ref.gid);
  if (own) await release(session, ctx, own.gid);
  return own !== undefined;
}

/** Undefined after a plain no: nothing was taken then. */
async function allOrNone(
  ctx: Context,
  take: () => Promise<GroupSnapshot>,
): Promise<GroupSnapshot | undefined> {
  try {
    return await take();
  } catch (error) {
    if (!["unsupported", "invalid", "refused", "absent"].includes(codeOf(error))) throw error;
    ctx.log.warn("StorPool takes no snapshots together, taking one by one", { error });
    return undefined;
  }
}

/** From here on it is one of PVE's. Not settled by halves: what keeps its mark is none. */
async function release({ client }: Session, ctx: Context, gid: string): Promise<void> {
  await client.updateSnapshot(ctx, gid, { tags: { [requestTag]: "" } });
}
