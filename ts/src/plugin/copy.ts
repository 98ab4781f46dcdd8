// SPDX-License-Identifier: AGPL-3.0-or-later
import type { VolumeRef } from "../arrays/contract.js";
import type { Context } from "../common/context.js";
import { codeOf, fail } from "../common/errors.js";
import { type Creation, createWithFreeName, creatingOnce, creation, explicitName } from "./alloc.js";
import type { Storage } from "./storage.js";

/** PVE's `clone_image`: a linked clone of a base, or of a snapshot when one is named. */
export async function cloneImage(
  storage: Storage,
  ctx: Context,
  args: { volname: string; vmid: number; snap: string | null },
): Promise<VolumeRef> {
  const source = storage.names.parse(args.volname);
  if (args.snap === null && !source.isBase) {
    throw fail(
      "refused",
      `volume '${source.volname}' is neither a base nor a snapshot; make it a template first`,
    );
  }
  return createWithFreeName(storage, ctx, args.vmid, source.format, (target) =>
    creation(storage, target, () => storage.driver.cloneVolume(ctx, source, args.snap ?? undefined, target)),
  );
}

/** PVE's `create_base`: turns a volume into an immutable base and returns its new name. */
export async function createBase(
  storage: Storage,
  ctx: Context,
  args: { volname: string },
): Promise<VolumeRef> {
  const from = storage.names.parse(args.volname);
  if (from.isBase) throw fail("refused", `volume '${from.volname}' is a base already`);
  const to = storage.names.compose(from.vmid, storage.type.naming.baseName(from), from.base);
  if (!to.isBase) throw fail("invalid", `volume '${from.volname}' has a name that cannot become a base's`);
  if (storage.type.renamesDetached) await storage.detach(ctx, from, undefined);
  const snapshots = await snapshotsIfAny(storage, ctx, from);
  if (snapshots.length > 0) {
    throw fail(
      "refused",
      `volume '${from.volname}' has snapshots (${snapshots.join(", ")}); delete them first`,
    );
  }
  return storage.driver.makeBase(ctx, from, to);
}

/** PVE's `rename_volume`: hands a volume to another guest, or gives it the name that is asked for. */
export async function renameVolume(
  storage: Storage,
  ctx: Context,
  args: { volname: string; vmid: number; name: string | null },
): Promise<VolumeRef> {
  const from = storage.names.parse(args.volname);
  if (from.isBase) throw fail("refused", `rename '${from.volname}': a base is immutable; clone it instead`);
  if (storage.type.renamesDetached) await storage.detach(ctx, from, undefined);
  const rename = (to: VolumeRef): Creation => ({
    ref: to,
    make: async (repeated) => {
      try {
        return await storage.driver.renameVolume(ctx, from, to);
      } catch (error) {
        if (!repeated || codeOf(error) !== "absent") throw error;
        // Gone under its old name because the earlier attempt had succeeded?
        return (await storage.driver.getVolume(ctx, to)).ref;
      }
    },
    undo: (later, made) => storage.driver.renameVolume(later, made, from),
  });
  if (args.name === null) {
    return createWithFreeName(storage, ctx, args.vmid, from.format, (free) =>
      rename(storage.names.compose(free.vmid, free.name, from.base)),
    );
  }
  return creatingOnce(storage, ctx, rename(explicitName(storage, args.vmid, args.name, from.format)));
}

/** The snapshots of a volume; none when a repeated call finds the volume under its new name already. */
async function snapshotsIfAny(storage: Storage, ctx: Context, ref: VolumeRef): Promise<string[]> {
  try {
    return (await storage.driver.listSnapshots(ctx, ref)).map((snapshot) => snapshot.name);
  } catch (error) {
    if (codeOf(error) === "absent") return [];
    throw error;
  }
}
