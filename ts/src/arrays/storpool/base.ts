// SPDX-License-Identifier: AGPL-3.0-or-later
import { afterwards, type Context, steady } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import type { VolumeRef } from "../contract.js";
import { ArrayError } from "./answer.js";
import { detachAll } from "./attach.js";
import { makeSnapshot } from "./creation.js";
import { formatName } from "./naming.js";
import { tryLookUp } from "./objects.js";
import type { StorpoolObject } from "./schemas.js";
import type { Session } from "./session.js";
import { requireNoSnapshots } from "./snapshots.js";
import { buildTags, tag } from "./tags.js";

/**
 * A base is a snapshot that replaces its volume. The volume goes last: until then the call can be repeated, and when
 * the array refuses to delete it the snapshot is taken back.
 */
export async function makeBase(
  session: Session,
  ctx: Context,
  from: VolumeRef,
  to: VolumeRef,
): Promise<VolumeRef> {
  const { client, owner } = session;
  const made = await tryLookUp(session, ctx, to);
  const volume = await tryLookUp(session, ctx, from);
  if (!volume && made) return session.parse(made.name);
  if (!volume) throw fail("absent", `volume '${from.volname}' does not exist; look it up with pvesm list`);
  if (volume.ref.kind !== "disk") {
    throw fail("refused", `make a base of '${volume.name}': only a disk can be a template's`);
  }
  const { vmid, disk } = volume.ref;
  await requireNoSnapshots(session, ctx, volume);
  await detachAll(session, ctx, volume.object);
  const tags = buildTags(
    owner,
    { kind: "base", vmid, disk, ...typeOf(volume.object) },
    session.section.extraTags,
  );
  if (made && made.object.onVolume !== volume.ref.gid) {
    throw fail("exists", `make a base of '${volume.name}': there is '${made.name}' already`);
  }
  // An earlier attempt may have come as far as the snapshot.
  const gid = made?.ref.gid ?? (await makeSnapshot(client, steady(ctx), volume.ref.gid, tags, session.pace));
  try {
    await client.deleteVolume(ctx, volume.ref.gid);
  } catch (error) {
    // Only a plain no: when the reply was lost the volume may be gone, and the snapshot is all that is left of it.
    const stays = error instanceof ArrayError && !error.afterLost;
    if (!made && stays) {
      await client.deleteSnapshot(afterwards(ctx, 30_000), gid).catch((undo: unknown) => {
        ctx.log.error("could not take a half-made base back", { gid, error: undo });
      });
    }
    throw error;
  }
  return session.parse(formatName({ kind: "base", vmid, disk, gid }));
}

function typeOf({ tags }: StorpoolObject): { type?: "rootdir" } {
  return tag(tags, "pve-type") === "rootdir" ? { type: "rootdir" } : {};
}
