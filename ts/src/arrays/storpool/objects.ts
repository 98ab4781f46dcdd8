// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import { codeOf, fail } from "../../common/errors.js";
import type { VolumeRef } from "../contract.js";
import { encodeRecord, findCloudinit } from "./encode.js";
import { formatName, type ImageKind, type NameRef, objectTypeOf, tryParseName } from "./naming.js";
import { parseShortName, type Request } from "./request.js";
import type { StorpoolObject } from "./schemas.js";
import type { Session } from "./session.js";
import { groupMark, ownership, tag } from "./tags.js";

/** An object of this storage, and what its name says. */
export interface Found {
  readonly object: StorpoolObject;
  readonly ref: NameRef & { readonly gid: string };
  /** The whole PVE name. */
  readonly name: string;
}

/** The object in its role, if it is one of this storage and its tags make a name. */
export function recognise(session: Session, object: StorpoolObject): Found | undefined {
  if (ownership(object.tags, session.owner) !== "ours") return undefined;
  const encoded = encodeRecord(object);
  return encoded.ok ? { object, ref: encoded.ref, name: encoded.name } : undefined;
}

/** An image whose data is not complete. It has all tags of an image but `virt`, without which nobody takes it for one. */
export interface Staged extends Found {
  readonly ref: Extract<NameRef, { kind: "staged" }>;
}

/** The object in the making, if it is one of this storage. */
export function recogniseStaged({ owner }: Session, object: StorpoolObject): Staged | undefined {
  if (tag(object.tags, "virt") !== undefined || object.transient) return undefined;
  const tags = { ...object.tags, virt: "pve" };
  if (ownership(tags, owner) !== "ours") return undefined;
  const encoded = encodeRecord({ ...object, type: "snapshot", tags });
  if (!encoded.ok || (encoded.ref.kind !== "img" && encoded.ref.kind !== "iso")) return undefined;
  const { kind: of, comment, gid } = encoded.ref;
  const ref = { kind: "staged", of, comment, gid } as const;
  return { object, ref, name: formatName(ref) };
}

/** The object of a volume. Throws `absent` when the array says that there is none of that name. */
export async function lookUp(session: Session, ctx: Context, ref: VolumeRef): Promise<Found> {
  const found = await tryLookUp(session, ctx, ref);
  if (!found) throw fail("absent", `volume '${ref.volname}' does not exist; look it up with pvesm list`);
  return found;
}

/** The object of a volume; undefined when the array says that there is none of that name. */
export async function tryLookUp(session: Session, ctx: Context, ref: VolumeRef): Promise<Found | undefined> {
  const name = tryParseName(ref.name);
  if (name?.gid !== undefined) return byId(session, ctx, { ...name, gid: name.gid }, ref.name);
  const request: Request | undefined =
    name?.kind === "cloudinit" ? { kind: "cloudinit", vmid: name.vmid } : parseShortName(ref.name);
  return request && byTags(session, ctx, request);
}

async function byId(
  session: Session,
  ctx: Context,
  ref: NameRef & { readonly gid: string },
  name: string,
): Promise<Found | undefined> {
  const object = await objectById(session, ctx, objectTypeOf(ref.kind), ref.gid);
  const found =
    object && (ref.kind === "staged" ? recogniseStaged(session, object) : recognise(session, object));
  // An object that was renamed is not there under its old name any more.
  return found && (found.name === name || found.ref.kind === "cloudinit") ? found : undefined;
}

/** Any object of the array; undefined when that says that there is none. */
export async function objectById(
  { client }: Session,
  ctx: Context,
  type: StorpoolObject["type"],
  gid: string,
): Promise<StorpoolObject | undefined> {
  return client[type](ctx, gid).catch((error: unknown) => {
    if (codeOf(error) === "absent") return undefined;
    throw error;
  });
}

async function byTags(session: Session, ctx: Context, request: Request): Promise<Found | undefined> {
  const { client, owner } = session;
  switch (request.kind) {
    case "cloudinit": {
      const drive = findCloudinit(await client.volumes(ctx), owner, request.vmid);
      return drive && recognise(session, drive);
    }
    case "disk":
    case "state": {
      const volumes = (await client.volumes(ctx)).map((object) => recognise(session, object));
      return volumes.find((found) => found && matches(found.ref, request));
    }
    case "base": {
      const snapshots = (await client.snapshots(ctx)).map((object) => recognise(session, object));
      return snapshots.find((found) => found && matches(found.ref, request));
    }
    case "img":
    case "iso":
      return imageOf(session, await client.snapshots(ctx), request);
    case "staged":
    case "other":
      return undefined;
  }
}

/** The image with a label, if there is one. Throws `refused` when there are several: only global ids tell them apart. */
function imageOf(
  session: Session,
  snapshots: readonly StorpoolObject[],
  request: { readonly kind: ImageKind; readonly comment: string },
): Found | undefined {
  const [only, ...more] = snapshots
    .map((object) => recognise(session, object))
    .filter((found) => found !== undefined)
    .filter(({ ref }) => matches(ref, request));
  if (more.length === 0) return only;
  const names = [only, ...more].map((found) => found?.name).join(", ");
  throw fail("refused", `several images have the label '${request.comment}'; name one of ${names}`);
}

/** Whether an object's name is what was asked for without global id. */
export function matches(ref: NameRef, request: Request): boolean {
  switch (request.kind) {
    case "disk":
    case "base":
      return ref.kind === request.kind && ref.vmid === request.vmid && ref.disk === request.disk;
    case "state":
      return ref.kind === "state" && ref.vmid === request.vmid && ref.snap === request.snap;
    case "cloudinit":
      return ref.kind === "cloudinit" && ref.vmid === request.vmid;
    case "img":
    case "iso":
      return ref.kind === request.kind && ref.comment === request.comment;
    case "staged":
    case "other":
      return false;
  }
}

/**
 * The snapshots of a volume, oldest first; of one name when that is given. One that was taken together with another
 * volume's and that PVE has not asked for yet is not there.
 */
export async function snapshotsOf(
  session: Session,
  ctx: Context,
  gid: string,
  snapshot?: string,
): Promise<StorpoolObject[]> {
  return snapshotsIn(await session.client.snapshots(ctx), session, gid, snapshot).filter(
    ({ tags }) => groupMark(tags) === undefined,
  );
}

/** Those of them in a list of all snapshots, also what PVE has not asked for. */
export function snapshotsIn(
  all: readonly StorpoolObject[],
  session: Session,
  gid: string,
  snapshot?: string,
): StorpoolObject[] {
  return all
    .filter(({ tags, deleted, name }) => {
      const ours = ownership(tags, session.owner) === "ours" && tag(tags, "pve-snap-v") === gid;
      const named = snapshot === undefined || tag(tags, "pve-snap") === snapshot;
      return ours && named && !deleted && !name.startsWith("*");
    })
    .sort((a, b) => a.ctime - b.ctime || inOrder(a.gid, b.gid));
}

/** Objects are numbered in the order of their making, to the base 36 or so. */
export function inOrder(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : 1);
}

/** The one snapshot of that name. Throws `absent`, and `refused` when there are several. */
export async function snapshotOf(
  session: Session,
  ctx: Context,
  volume: Found,
  snapshot: string,
): Promise<StorpoolObject> {
  const [only, second] = await snapshotsOf(session, ctx, volume.ref.gid, snapshot);
  if (!only) throw fail("absent", `snapshot '${snapshot}' of '${volume.name}' does not exist`);
  if (second) {
    throw fail(
      "refused",
      `snapshot '${snapshot}' of '${volume.name}' exists twice (${only.gid}, ${second.gid}); delete the wrong one`,
    );
  }
  return only;
}
