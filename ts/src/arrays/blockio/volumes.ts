// SPDX-License-Identifier: AGPL-3.0-or-later
import { chmod, realpath, rename, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import type { Context } from "../../common/context.js";
import { codeOf, fail } from "../../common/errors.js";
import { native } from "../../common/native.js";
import type { Bytes } from "../../common/size.js";
import { waitUntil } from "../../common/wait.js";
import type { DriverEnvironment, Volume, VolumeRef } from "../contract.js";
import { creatingIn, exists, namesIn, removeIfEmpty, syncDirectory } from "./files.js";
import type { Layout } from "./layout.js";
import { removeHidden, removeLeftovers, removeSnapshots } from "./leftovers.js";
import { mountPoints } from "./mounts.js";
import { padToBlocks } from "./padding.js";

/** Images are for root and its group, as those of PVE's directory storages. */
export const imageMode = 0o640;
const baseMode = 0o444;
/** A container's root directory must be enterable by the container's own users. */
const directoryMode = 0o755;
/** How long a loop device that is being detached may take to let go of a file, in milliseconds. */
const releaseTimeoutMs = 5000;

export async function listVolumes(
  layout: Layout,
  environment: DriverEnvironment,
  vmid: number | undefined,
): Promise<Volume[]> {
  const owners =
    vmid === undefined
      ? (await namesIn(layout.images)).filter((name) => /^[1-9]\d{2,8}$/.test(name))
      : [vmid];
  const volumes: Volume[] = [];
  for (const owner of owners) {
    const names = (await namesIn(layout.guest(Number(owner)))).filter((name) => !name.startsWith("."));
    for (const name of names.sort()) {
      const volume = await listed(layout, environment, Number(owner), name);
      if (volume) volumes.push(volume);
    }
  }
  return volumes;
}

/** One entry of a listing; nothing for what is not a volume or has gone meanwhile. */
async function listed(
  layout: Layout,
  environment: DriverEnvironment,
  vmid: number,
  name: string,
): Promise<Volume | undefined> {
  let ref: VolumeRef;
  try {
    ref = environment.parse(environment.compose({ vmid, name }).volname);
  } catch {
    return undefined;
  }
  try {
    return await getVolume(layout, ref);
  } catch (error) {
    const code = codeOf(error);
    if (code === "absent" || code === "invalid") return undefined;
    throw error;
  }
}

export async function getVolume(layout: Layout, ref: VolumeRef): Promise<Volume> {
  const path = layout.volume(ref);
  const found = await stat(path, { bigint: true }).catch((error: unknown) => {
    if (codeOf(error) === "absent") throw absent(ref, path);
    throw error;
  });
  if (ref.format === "subvol" ? !found.isDirectory() : !found.isFile()) {
    throw fail(
      "invalid",
      `volume '${ref.volname}': '${path}' is not a ${ref.format === "subvol" ? "directory" : "file"}`,
    );
  }
  const ctime = Number(found.ctimeMs / 1000n);
  if (ref.format === "subvol") return { ref, size: 0n, used: 0n, ctime };
  return { ref, size: found.size, used: found.blocks * 512n, ctime };
}

export async function createVolume(layout: Layout, ref: VolumeRef, size: Bytes): Promise<void> {
  const path = layout.volume(ref);
  refuseSize(ref, size);
  await removeLeftovers(layout, ref);
  await creatingIn(layout.guest(ref.vmid), async () => {
    if (ref.format === "subvol") {
      await native().createTree(path, directoryMode);
    } else {
      await native().createFile(path, size, layout.section.preallocation, imageMode);
    }
  });
  await syncDirectory(layout.guest(ref.vmid));
}

/** Throws `unsupported` for a directory that is to have a size. */
export function refuseSize(ref: VolumeRef, size: Bytes): void {
  if (ref.format !== "subvol" || size === 0n) return;
  throw fail(
    "unsupported",
    `volume '${ref.volname}': a directory has no size limit here; ask for size 0 or format raw`,
  );
}

export async function deleteVolume(ctx: Context, layout: Layout, ref: VolumeRef): Promise<boolean> {
  const path = layout.volume(ref);
  const existed = await exists(path);
  if (existed) {
    if (ref.format === "subvol") {
      await refuseMounted(path, `volume '${ref.volname}'`);
      await native().removeTree(layout.trash(ref));
      await rename(path, layout.trash(ref));
    } else {
      await refuseInUse(ctx, path, `volume '${ref.volname}'`);
      if (ref.isBase) await native().setImmutable(path, false);
      await unlink(path);
    }
  }
  // From here on the volume is gone; what follows is removed by the next call on this name if we are killed.
  await removeHidden(layout, ref);
  await removeSnapshots(layout, ref);
  await syncDirectory(layout.guest(ref.vmid));
  await removeIfEmpty(layout.guest(ref.vmid));
  return existed;
}

export async function resizeVolume(layout: Layout, ref: VolumeRef, size: Bytes): Promise<void> {
  if (ref.format !== "raw")
    throw fail("unsupported", `volume '${ref.volname}': a directory cannot be resized`);
  const { size: old } = await getVolume(layout, ref);
  if (size < old) {
    throw fail(
      "invalid",
      `volume '${ref.volname}': ${size} bytes are less than its ${old}; a volume only grows`,
    );
  }
  if (size === old) return;
  const path = layout.volume(ref);
  await native().growFile(path, size, layout.section.preallocation);
}

export async function renameVolume(layout: Layout, from: VolumeRef, to: VolumeRef): Promise<void> {
  const source = layout.volume(from);
  const target = layout.volume(to);
  if (!(await exists(source))) throw absent(from, source);
  const snapshots = (await namesIn(layout.snapshots(from))).filter((name) => !name.startsWith("."));
  if (snapshots.length > 0) {
    throw fail(
      "refused",
      `volume '${from.volname}' has snapshots (${snapshots.join(", ")}); delete them first`,
    );
  }
  await removeLeftovers(layout, to);
  await creatingIn(layout.guest(to.vmid), () => native().renameExclusive(source, target));
  await syncDirectory(layout.guest(to.vmid));
  if (from.vmid !== to.vmid) {
    await removeIfEmpty(layout.snapshots(from));
    await removeIfEmpty(layout.guestSnapshots(from.vmid));
    await syncDirectory(layout.guest(from.vmid));
    await removeIfEmpty(layout.guest(from.vmid));
  }
}

/** `shares` says whether clones of the base will share its blocks. */
export async function makeBase(
  ctx: Context,
  layout: Layout,
  from: VolumeRef,
  to: VolumeRef,
  shares: boolean,
): Promise<void> {
  const path = layout.volume(to);
  // Repeated after an interruption it has its new name already.
  const renamed = !(await exists(layout.volume(from))) && (await exists(path));
  if (!renamed) await renameVolume(layout, from, to);
  if (to.format !== "raw") return;
  const { mode } = await stat(path);
  // When repeated it is immutable already, and neither size nor mode can be set any more.
  if ((mode & 0o777) !== baseMode) {
    if (shares) await padToBlocks(path);
    await chmod(path, baseMode);
  }
  try {
    await native().setImmutable(path, true);
  } catch (error) {
    // Protection beyond the mode is a bonus that many file systems (NFS) lack.
    ctx.log.debug("no immutable flag on base", { path, error });
  }
}

/** Throws `busy` while something is mounted in a directory volume: deleting it would delete that, too. */
export async function refuseMounted(path: string, what: string): Promise<void> {
  const resolved = await realpath(path);
  const below = (await mountPoints()).filter(
    (mount) => mount === resolved || mount.startsWith(`${resolved}/`),
  );
  if (below.length > 0)
    throw fail("busy", `${what} has something mounted at '${below[0]}'; unmount it first`);
}

/** Waits until no loop device of this node holds the file; throws `busy` when one stays. */
export async function refuseInUse(ctx: Context, path: string, what: string): Promise<void> {
  let holders: string[] = [];
  const free = await waitUntil(
    async () => {
      holders = await native().loopDevicesOf(path);
      return holders.length === 0;
    },
    releaseTimeoutMs,
    ctx.signal,
  );
  if (!free) throw fail("busy", `${what} is in use by ${holders.join(", ")}; unmount it first`);
}

function absent(ref: VolumeRef, path: string) {
  return fail("absent", `volume '${ref.volname}' does not exist ('${join(path)}')`);
}
