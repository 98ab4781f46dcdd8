// SPDX-License-Identifier: AGPL-3.0-or-later
import { type Context, steady } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import type { Bytes } from "../../common/size.js";
import type { VolumeRef } from "../contract.js";
import { detachAll } from "./attach.js";
import { named, sectors, vacant } from "./create.js";
import { tryParseName } from "./naming.js";
import { lookUp, tryLookUp } from "./objects.js";
import type { Session } from "./session.js";
import { deleteSnapshots, requireNoSnapshots } from "./snapshots.js";
import { buildTags } from "./tags.js";

/** How long a client that is not ours may take to see a new size, in milliseconds. */
const foreignClientMs = 10_000;

/** Deletes a volume with its snapshots; what an interrupted deletion has left is deleted too. */
export async function deleteVolume(session: Session, ctx: Context, ref: VolumeRef): Promise<boolean> {
  const found = await tryLookUp(session, ctx, ref);
  if (!found) {
    const gid = tryParseName(ref.name)?.gid;
    if (gid !== undefined) await deleteSnapshots(session, ctx, gid);
    return false;
  }
  const { object } = found;
  await detachAll(session, ctx, object);
  if (object.type === "snapshot") return session.client.deleteSnapshot(ctx, object.gid);
  await deleteSnapshots(session, ctx, object.gid);
  return session.client.deleteVolume(ctx, object.gid);
}

/** Grows a volume, and waits until every client that has it sees the new size. */
export async function resizeVolume(
  session: Session,
  ctx: Context,
  ref: VolumeRef,
  size: Bytes,
): Promise<void> {
  const { client, config } = session;
  const { object, name } = await lookUp(session, ctx, ref);
  const wanted = sectors(size);
  if (wanted < object.size) {
    throw fail(
      "invalid",
      `volume '${name}': ${size} bytes are less than its ${object.size}; a volume only grows`,
    );
  }
  if (wanted > object.size) await client.updateVolume(ctx, object.gid, { size: wanted });
  // QEMU is told the new size right after this: the kernel's device must have it.
  const attached = (await client.attachments(ctx)).filter((row) => row.gid === object.gid);
  for (const row of attached) {
    if (row.client === config.ourId) await client.clientConfigWait(ctx, row.client);
  }
  for (const row of attached) {
    if (row.client === config.ourId) continue;
    await client.clientConfigWait(ctx, row.client, foreignClientMs).catch((error: unknown) => {
      ctx.log.warn("another client has not seen the new size yet", {
        volname: name,
        client: row.client,
        error,
      });
    });
  }
}

/** Gives a volume to another guest or number; its global id stays. */
export async function renameVolume(
  session: Session,
  ctx: Context,
  from: VolumeRef,
  to: VolumeRef,
): Promise<VolumeRef> {
  const volume = await lookUp(session, ctx, from);
  const { object } = volume;
  await requireNoSnapshots(session, ctx, volume);
  const spec = await vacant(session, ctx, to);
  const { "pve-vm": vm = "", "pve-disk": disk = "" } = buildTags(session.owner, spec);
  const tags = { "pve-vm": vm, "pve-disk": disk };
  await session.client.updateVolume(steady(ctx), object.gid, { tags });
  return named(session, spec, object.gid);
}
