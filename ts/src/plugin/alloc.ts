// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Format, VolumeRef } from "../arrays/contract.js";
import type { Context } from "../common/context.js";
import { codeOf, fail } from "../common/errors.js";
import type { Bytes } from "../common/size.js";
import type { Storage } from "./storage.js";

/** PVE numbers the disks of a guest below this. */
const maxDisks = 1024;

/** PVE's `alloc_image`: makes an empty volume of exactly `size` bytes; chooses the name when none is given. */
export async function allocImage(
  storage: Storage,
  ctx: Context,
  args: { vmid: number; format: Format; name: string | null; size: Bytes },
): Promise<VolumeRef> {
  requireFormat(storage, args.format);
  if (args.name === null) {
    return createWithFreeName(storage, ctx, args.vmid, args.format, (ref) =>
      storage.driver.createVolume(ctx, ref, args.size),
    );
  }
  const ref = explicitName(storage, args.vmid, args.name, args.format);
  await creatingOnce(storage, ctx, ref, () => storage.driver.createVolume(ctx, ref, args.size));
  return ref;
}

/**
 * Runs `create`, which makes `ref`. When an earlier attempt of this very request was about to make it and it exists,
 * that attempt had succeeded: the service died before it could say so.
 */
export async function creatingOnce(
  storage: Storage,
  ctx: Context,
  ref: VolumeRef,
  create: () => Promise<void>,
): Promise<void> {
  const { domain } = storage.driver;
  const repeated = ctx.request?.previous(domain) === ref.volname;
  ctx.request?.intend(domain, ref.volname);
  try {
    await create();
  } catch (error) {
    if (!repeated || codeOf(error) !== "exists") throw error;
    ctx.log.info("made by an earlier attempt of this request", { volname: ref.volname });
  }
}

/** PVE's `find_free_diskname`. */
export async function findFreeDiskname(
  storage: Storage,
  ctx: Context,
  args: { vmid: number; format: Format },
): Promise<string> {
  const taken = await takenIndexes(storage, ctx, args.vmid);
  for (let index = 0; index < maxDisks; index++) {
    if (!taken.has(index)) return storage.type.naming.diskName(args.vmid, args.format, index);
  }
  throw fail(
    "refused",
    `guest ${args.vmid} has ${maxDisks} volumes on storage '${storage.storeid}'; free some first`,
  );
}

/**
 * Runs `create` with a free name. Should another node take the name in between, the array says `exists` and the
 * next free one is tried.
 */
export async function createWithFreeName(
  storage: Storage,
  ctx: Context,
  vmid: number,
  format: Format,
  create: (ref: VolumeRef) => Promise<void>,
): Promise<VolumeRef> {
  const previous = ctx.request?.previous(storage.driver.domain);
  for (let attempt = 1; ; attempt++) {
    ctx.signal.throwIfAborted();
    const ref =
      attempt === 1 && previous !== undefined
        ? storage.names.parse(previous)
        : storage.names.compose(vmid, await findFreeDiskname(storage, ctx, { vmid, format }));
    try {
      await creatingOnce(storage, ctx, ref, () => create(ref));
      return ref;
    } catch (error) {
      if (codeOf(error) !== "exists" || attempt >= maxDisks) throw error;
    }
  }
}

/** The reference of a name that the caller insists on; never another one. Throws `invalid`, `exists`. */
export function explicitName(storage: Storage, vmid: number, name: string, format: Format): VolumeRef {
  const ref = storage.names.compose(vmid, name);
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

async function takenIndexes(storage: Storage, ctx: Context, vmid: number): Promise<Set<number>> {
  const names = (await storage.driver.listVolumes(ctx, vmid)).map((volume) => volume.ref.name);
  for (const volname of [...storage.reserved, ...(ctx.request?.others(storage.driver.domain) ?? [])]) {
    const ref = storage.names.parse(volname);
    if (ref.vmid === vmid) names.push(ref.name);
  }
  return new Set(
    names.map((name) => storage.type.naming.diskIndex(name)).filter((index) => index !== undefined),
  );
}
