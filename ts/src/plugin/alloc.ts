// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Format, VolumeRef } from "../arrays/contract.js";
import { afterwards, type Context } from "../common/context.js";
import { codeOf, fail } from "../common/errors.js";
import type { Bytes } from "../common/size.js";
import type { Storage } from "./storage.js";

/** PVE numbers the disks of a guest below this. */
const maxDisks = 1024;
/** How long the undo of a call that was given up may take, in milliseconds. */
export const undoLimitMs = 60_000;

/** PVE's `alloc_image`: makes an empty volume of exactly `size` bytes; chooses the name when none is given. */
export async function allocImage(
  storage: Storage,
  ctx: Context,
  args: { vmid: number; format: Format; name: string | null; size: Bytes },
): Promise<VolumeRef> {
  requireFormat(storage, args.format);
  const create = (ref: VolumeRef) =>
    creation(storage, ref, () => storage.driver.createVolume(ctx, ref, args.size));
  if (args.name === null) {
    return createWithFreeName(storage, ctx, args.vmid, args.format, create);
  }
  return creatingOnce(storage, ctx, create(explicitName(storage, args.vmid, args.name, args.format)));
}

/** One way to make a volume under a new name, and how to take that back. */
export interface Creation {
  /** The name that is asked for; the array may add to it. */
  readonly ref: VolumeRef;
  /** `repeated`: an earlier attempt of this very request was about to do it. */
  make(repeated: boolean): Promise<VolumeRef>;
  undo(ctx: Context, made: VolumeRef): Promise<unknown>;
}

/** A creation that is taken back by deleting the volume. */
export function creation(storage: Storage, ref: VolumeRef, make: () => Promise<VolumeRef>): Creation {
  return { ref, make, undo: (ctx, made) => storage.driver.deleteVolume(ctx, made) };
}

/**
 * Makes a volume. When an earlier attempt of this very request was about to make it and it exists, that attempt had
 * succeeded: the service died before it could say so. When nobody waits for the result any more, the volume is taken
 * back: no guest will ever know of it.
 */
export async function creatingOnce(
  storage: Storage,
  ctx: Context,
  { ref, make, undo }: Creation,
): Promise<VolumeRef> {
  const { domain } = storage.driver;
  const repeated = ctx.request?.previous(domain) === ref.volname;
  ctx.request?.intend(domain, ref.volname);
  const made = await make(repeated).catch(async (error: unknown) => {
    if (!repeated || codeOf(error) !== "exists") throw error;
    ctx.log.info("made by an earlier attempt of this request", { volname: ref.volname });
    return (await storage.driver.getVolume(ctx, ref)).ref;
  });
  if (!ctx.signal.aborted) return made;
  // The call's own signal would stop the undo.
  await undo(afterwards(ctx, undoLimitMs), made);
  throw ctx.signal.reason;
}

/** PVE's `find_free_diskname`. Names in `avoid` count as taken. */
export async function findFreeDiskname(
  storage: Storage,
  ctx: Context,
  args: { vmid: number; format: Format },
  avoid: readonly string[] = [],
): Promise<string> {
  const { naming } = storage.type;
  const taken = new Set([...(await takenNames(storage, ctx, args.vmid)), ...avoid].map(naming.diskIndex));
  for (let index = 0; index < maxDisks; index++) {
    if (!taken.has(index)) return naming.diskName(args.vmid, args.format, index);
  }
  throw fail(
    "refused",
    `guest ${args.vmid} has ${maxDisks} volumes on storage '${storage.storeid}'; free some first`,
  );
}

/**
 * Makes a volume under a free name. Should another node take the name in between, or something that is no volume have
 * it, the array says `exists` and the next free one is tried.
 */
export async function createWithFreeName(
  storage: Storage,
  ctx: Context,
  vmid: number,
  format: Format,
  create: (ref: VolumeRef) => Creation,
): Promise<VolumeRef> {
  const avoid: string[] = [];
  const previous = ctx.request?.previous(storage.driver.domain);
  let ref = previous === undefined ? undefined : storage.names.parse(previous);
  for (;;) {
    ctx.signal.throwIfAborted();
    ref ??= storage.names.compose(vmid, await findFreeDiskname(storage, ctx, { vmid, format }, avoid));
    try {
      return await creatingOnce(storage, ctx, create(ref));
    } catch (error) {
      if (codeOf(error) !== "exists") throw error;
      avoid.push(ref.name);
      ref = undefined;
    }
  }
}

/** The reference of a name that the caller insists on; never another one. Throws `invalid`, `exists`. */
export function explicitName(storage: Storage, vmid: number, name: string, format: Format): VolumeRef {
  const ref = storage.names.compose(vmid, name);
  if (ref.vmid === 0 && vmid !== 0) {
    throw fail("unsupported", `'${name}' belongs to no guest and is made with its data: use pvesm import`);
  }
  if (ref.vmid !== vmid) throw fail("invalid", `volume name '${name}' does not belong to guest ${vmid}`);
  if (ref.format !== format) throw fail("invalid", `volume name '${name}' is not one of format '${format}'`);
  if (storage.reserved.has(ref.volname)) {
    throw fail("exists", `volume '${ref.volname}' is being imported on storage '${storage.storeid}'`);
  }
  return ref;
}

function requireFormat(storage: Storage, format: Format): void {
  if (!storage.type.formats.allowed.includes(format)) {
    throw fail("unsupported", `storage type '${storage.type.type}' has no volumes of format '${format}'`);
  }
}

async function takenNames(storage: Storage, ctx: Context, vmid: number): Promise<string[]> {
  const { driver, names, reserved } = storage;
  const spokenFor = [...reserved, ...(ctx.request?.others(driver.domain) ?? [])].map((volname) =>
    names.parse(volname),
  );
  return [
    ...(await driver.listVolumes(ctx, vmid)).map((volume) => volume.ref.name),
    ...spokenFor.filter((ref) => ref.vmid === vmid).map((ref) => ref.name),
  ];
}
