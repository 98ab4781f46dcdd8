// SPDX-License-Identifier: AGPL-3.0-or-later
import { afterwards, type Context, steady } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import type { Connection, VolumeRef } from "../contract.js";
import { renewUser } from "./access.js";
import { means } from "./answer.js";
import { exportObjectName, snapshotObjectName } from "./names.js";
import { type Place, type Placed, place } from "./placement.js";
import { allPortals, type Portals, portalsOf } from "./portals.js";
import { idOf, objectOf, type Session, together } from "./session.js";
import type { JovianVolume, LunAttachment } from "./shapes.js";
import { targetName, wwidOf } from "./targets.js";
import { dropExport } from "./unpublish.js";
import type { Withdrawn } from "./withdraw.js";

type Iscsi = Extract<Connection, { kind: "iscsi" }>;

/** Makes a volume reachable on one of its guest's targets. */
export async function publishVolume(session: Session, ctx: Context, ref: VolumeRef): Promise<Connection> {
  const object = objectOf(session, ref);
  const { volumes, targets } = session.client;
  const [volume, found, portals] = await together(
    ctx,
    (inner) => volumes.get(inner, object),
    (inner) => targets.attachments(inner, object),
    (inner) => portalsOf(session, inner),
  );
  return connect(session, ctx, { object, vmid: ref.vmid, alone: false }, volume, found, portals);
}

/** Makes a snapshot reachable: a read-only clone of it, on a target of its own. */
export async function publishSnapshot(
  session: Session,
  ctx: Context,
  ref: VolumeRef,
  snapshot: string,
): Promise<Connection> {
  const object = exportObjectName(idOf(session, ref), snapshot);
  const { volumes, targets } = session.client;
  const [there, found, portals] = await together(
    ctx,
    (inner) => volumes.find(inner, object),
    (inner) => targets.attachments(inner, object),
    (inner) => portalsOf(session, inner),
  );
  const origin = { volume: objectOf(session, ref), snapshot: snapshotObjectName(snapshot) };
  let clone = there;
  if (clone && !isFrom(clone, origin)) {
    // Left from a volume that had the name before.
    await dropExport(
      session,
      ctx,
      { object, vmid: ref.vmid },
      `remove '${object}', which is no export of '${ref.volname}' any more`,
    );
    clone = undefined;
  }
  clone ??= await makeExport(session, ctx, origin, object);
  try {
    const what = { object, vmid: ref.vmid, alone: true };
    return await connect(session, ctx, what, clone, there === clone ? found : [], portals);
  } catch (error) {
    if (there !== clone) await undo(session, ctx, { object, vmid: ref.vmid });
    throw error;
  }
}

function isFrom({ origin }: JovianVolume, from: { volume: string; snapshot: string }): boolean {
  return origin?.volume === from.volume && origin.snapshot === from.snapshot;
}

async function makeExport(
  { client }: Session,
  ctx: Context,
  origin: { readonly volume: string; readonly snapshot: string },
  object: string,
): Promise<JovianVolume> {
  try {
    await client.volumes.clone(steady(ctx), origin, object, { thin: true, readOnly: true });
  } catch (error) {
    // Another node reads the same snapshot.
    if (!means(error, "exists")) throw error;
  }
  const made = await client.volumes.get(ctx, object);
  if (isFrom(made, origin)) return made;
  throw fail(
    "refused",
    `'${object}' is no export of '${origin.volume}@${origin.snapshot}'; delete it on JovianDSS`,
  );
}

async function undo(session: Session, ctx: Context, clone: Withdrawn): Promise<void> {
  const { object } = clone;
  const later = afterwards(ctx, 10_000);
  await dropExport(session, later, clone, `remove '${object}' again`).catch((error: unknown) => {
    ctx.log.warn("the export of a snapshot may be left; the next one uses it", { object, error });
  });
}

async function connect(
  session: Session,
  ctx: Context,
  what: Placed,
  volume: JovianVolume,
  found: readonly LunAttachment[],
  portals: Portals,
): Promise<Connection> {
  const at = await place(session, ctx, what, portals, found);
  return connection(session, volume, at, portals.portals);
}

function connection(session: Session, volume: JovianVolume, at: Place, portals: readonly string[]): Iscsi {
  const { chap, section } = session;
  const scsiId = at.scsiId ?? volume.scsiId;
  if (scsiId === undefined)
    throw fail("unreachable", `JovianDSS does not tell the SCSI id of '${volume.name}' yet; try again`);
  return {
    kind: "iscsi",
    portals,
    iqn: at.iqn,
    lun: at.lun,
    wwid: wwidOf(scsiId),
    size: volume.size,
    multipath: section.multipath,
    ...(chap ? { chap: { user: chap.user, password: chap.password.reveal() } } : {}),
  };
}

/**
 * Where a volume, or the clone that a snapshot is read by, is on this node if it is there at all. Throws `absent` when the
 * array does not have it.
 */
export async function locate(
  session: Session,
  ctx: Context,
  ref: VolumeRef,
  snapshot: string | undefined,
): Promise<Connection> {
  const object =
    snapshot === undefined ? objectOf(session, ref) : exportObjectName(idOf(session, ref), snapshot);
  const { volumes, targets } = session.client;
  const [volume, [found]] = await together(
    ctx,
    (inner) => volumes.get(inner, object),
    (inner) => targets.attachments(inner, object),
  );
  const { targetPrefix } = session.section;
  const at = { lun: 0, ...found, iqn: found?.target ?? targetName(targetPrefix, ref.vmid, 0) };
  return connection(session, volume, at, allPortals(session.section));
}

/** After this node's login was refused: the password of the target's user is written again. */
export async function renewAccess(
  session: Session,
  ctx: Context,
  ref: VolumeRef,
  snapshot: string | undefined,
): Promise<void> {
  const object =
    snapshot === undefined ? objectOf(session, ref) : exportObjectName(idOf(session, ref), snapshot);
  for (const { target } of await session.client.targets.attachments(ctx, object))
    if (target !== undefined) await renewUser(session, ctx, target);
}
