// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Volume } from "../arrays/contract.js";
import type { Context } from "../common/context.js";
import { fail } from "../common/errors.js";
import type { Bytes } from "../common/size.js";
import type { Storage } from "./storage.js";

/** PVE's `free_image`. False when the array says that there was no such volume. */
export async function freeImage(storage: Storage, ctx: Context, args: { volname: string }): Promise<boolean> {
  const ref = storage.names.parse(args.volname);
  if (storage.reserved.has(ref.volname)) {
    throw fail("busy", `volume '${ref.volname}' is being imported; stop the import first`);
  }
  await storage.detachWhole(ctx, ref);
  return storage.driver.deleteVolume(ctx, ref);
}

/** PVE's `list_images`: all volumes, those of one guest, or exactly the listed ones. */
export async function listImages(
  storage: Storage,
  ctx: Context,
  args: { vmid: number | null; vollist: readonly string[] | null },
): Promise<Volume[]> {
  if (args.vollist !== null) {
    const wanted = new Set(args.vollist);
    return (await storage.driver.listVolumes(ctx)).filter((volume) => wanted.has(volume.ref.volname));
  }
  return storage.driver.listVolumes(ctx, args.vmid ?? undefined);
}

/** PVE's `activate_volume`: afterwards the volume's path can be opened on this node. */
export async function activateVolume(
  storage: Storage,
  ctx: Context,
  args: { volname: string; snap: string | null },
): Promise<string> {
  return storage.attach(ctx, storage.names.parse(args.volname), args.snap ?? undefined);
}

/** PVE's `path` where the name alone does not tell; needs no activation. */
export async function volumePath(
  storage: Storage,
  ctx: Context,
  args: { volname: string; snap: string | null },
): Promise<string> {
  return storage.path(ctx, storage.names.parse(args.volname), args.snap ?? undefined);
}

/** PVE's `deactivate_volume`: succeeds when the volume is not active or does not exist. */
export async function deactivateVolume(
  storage: Storage,
  ctx: Context,
  args: { volname: string; snap: string | null },
): Promise<void> {
  await storage.detach(ctx, storage.names.parse(args.volname), args.snap ?? undefined);
}

/** PVE's `volume_size_info`; needs no activation. */
export async function volumeSizeInfo(
  storage: Storage,
  ctx: Context,
  args: { volname: string },
): Promise<Volume> {
  const { driver } = storage;
  const ref = storage.names.parse(args.volname);
  return driver.sizeInfo ? driver.sizeInfo(ctx, ref) : driver.getVolume(ctx, ref);
}

/** PVE's `volume_resize`, in bytes. */
export async function volumeResize(
  storage: Storage,
  ctx: Context,
  args: { volname: string; size: Bytes; snap: string | null },
): Promise<void> {
  const ref = storage.names.parse(args.volname);
  if (args.snap !== null) throw fail("unsupported", `resize '${ref.volname}': a snapshot cannot be resized`);
  if (ref.isBase) throw fail("refused", `resize '${ref.volname}': a base is immutable`);
  await storage.driver.resizeVolume(ctx, ref, args.size);
  await storage.refresh(ctx, ref, args.size);
}
