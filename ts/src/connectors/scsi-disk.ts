// SPDX-License-Identifier: AGPL-3.0-or-later
import { basename } from "node:path";
import type { Context } from "../common/context.js";
import { codeOf, fail } from "../common/errors.js";
import type { DeviceLayer, DevicePath, Hctl, MultipathMap, Stoppable } from "./device-layer.js";

/**
 * Limits of single steps, in milliseconds; the caller's deadline comes on top. udev and multipathd take their time when a
 * node starts and all of its disks appear at once.
 */
const limits = { scan: 20_000, appear: 30_000, map: 100_000, flush: 20_000, remove: 30_000, resize: 15_000 };

/** States of a path that the kernel has given up or is removing: what waited for it has failed already. */
const dead: ReadonlySet<string> = new Set(["offline", "transport-offline", "cancel", "deleted"]);

/**
 * A disk that is reached over SCSI, on one path or several. `wwid` is its identity as udev and multipath have it. `own` gives
 * all addresses that it has here, also where the connection is lost, and is there for identities so short that two disks may
 * have the same (JovianDSS: 32 bits); without it, what has the identity is the disk.
 */
export class ScsiDisk {
  constructor(
    private readonly layer: DeviceLayer,
    private readonly wwid: string,
    private readonly what: string,
    private readonly root = "/",
    private readonly own?: () => Promise<readonly Hctl[]>,
  ) {}

  /**
   * Looks at exactly these addresses. Another disk that was left there goes.
   *
   * @throws `refused` when that one is in use, or when the map of this identity is another disk's.
   */
  async scan(ctx: Context, at: readonly Hctl[]): Promise<void> {
    // Before there is a path: multipathd goes by the identity alone and would add it.
    const map = await this.layer.multipathMap(this.root, this.wwid);
    if (map) await this.#requireOwn(map, at);
    await this.#scan(ctx, at);
    const { foreign } = await stopped(ctx, this.layer.waitPaths(this.root, this.wwid, at, 0));
    if (foreign.length === 0) return;
    await this.#removeForeign(ctx, foreign);
    await this.#scan(ctx, at);
  }

  /**
   * Waits for the paths at these addresses and makes one device of them: the multipath map, or the first path where
   * multipath is off or not wanted. `size` is what the disk must have, in bytes. Gives the device.
   *
   * @throws `unreachable` when no path appears, or not with that size; `refused` when another disk answers at an address, or
   *   has the map.
   */
  async assemble(
    ctx: Context,
    at: readonly Hctl[],
    { size, multipath = true }: { readonly size?: bigint; readonly multipath?: boolean } = {},
  ): Promise<string> {
    const found = await stopped(ctx, this.layer.waitPaths(this.root, this.wwid, at, limits.appear));
    // Whatever is there under this address: it is never opened as this disk.
    if (found.foreign.length > 0) throw this.#wrongDisk(found.foreign);
    if (found.there.length === 0) {
      throw fail(
        "unreachable",
        `${this.what}: no path to disk ${this.wwid} appeared at ${at.map(addressText).join(", ")}; check that the array exports it to this node`,
      );
    }
    if (found.missing.length > 0) {
      ctx.log.warn("a disk has fewer paths than its portals", {
        wwid: this.wwid,
        missing: found.missing.map(addressText),
      });
    }
    if (size !== undefined) await this.#requireSize(ctx, found.there, size);
    const names = found.there.map(({ name }) => name);
    const bytes = size ?? sizeOfAll(found.there);
    if (!multipath) {
      const map = await this.layer.multipathMap(this.root, this.wwid);
      return map ? this.#deviceOf(map, found.there, bytes) : `/dev/${names[0]}`;
    }
    const status = await this.layer.multipathStatus(5_000);
    if (status === "silent") {
      throw fail(
        "unreachable",
        `${this.what}: multipathd does not answer; look at systemctl status multipathd`,
      );
    }
    if (status === "running") {
      // One that missed a resize. A path of another size would not join it.
      const known = await this.layer.multipathMap(this.root, this.wwid);
      if (known) await this.#requireOwn(known, at);
      if (known) await this.#resizeMap(known, bytes);
      const ensure = this.layer.multipathEnsure(this.root, this.wwid, names, names.length, limits.map);
      const { map, missing } = await stopped(ctx, ensure);
      if (missing.length > 0) ctx.log.warn("paths are not in the map", { wwid: this.wwid, missing });
      if (map) return this.#deviceOf(map, found.there, bytes);
    }
    return `/dev/${names[0]}`;
  }

  /**
   * Takes the disk off this node: flushes, removes the map, then the paths. What is in use stays whole, and so does what is
   * another volume's, as `isOthers` says of paths and the names of all devices.
   *
   * @throws `busy`, naming the users; `unreachable` when data may wait for a path that can come back.
   */
  async remove(
    ctx: Context,
    isOthers: (paths: readonly DevicePath[], devices: readonly string[]) => Promise<boolean> = async () =>
      false,
  ): Promise<void> {
    const map = await this.layer.multipathMap(this.root, this.wwid);
    // Also those that multipathd does not know, or they stay behind.
    const paths = await this.#allPaths();
    const names = [...(map ? [`mapper/${map.name}`] : []), ...paths.map(({ name }) => name)];
    if (await isOthers(paths, names)) return;
    const ofMap = new Set(map?.paths.map(({ name }) => name));
    for (const { name } of paths) {
      // The users of these are the map's.
      if (ofMap.has(name)) continue;
      const users = await this.layer.deviceUsers(this.root, name);
      if (users.length > 0) {
        throw fail(
          "busy",
          `${this.what}: device '/dev/${name}' is in use (${users.join(", ")}); stop that first`,
        );
      }
    }
    if (map) {
      await this.layer.multipathRemove(this.root, this.wwid, limits.remove);
    } else {
      await this.#flushAll(paths);
    }
    ctx.signal.throwIfAborted();
    await Promise.all(
      paths.map(({ hctl }) => this.layer.deletePath(this.root, hctl, this.wwid, limits.remove)),
    );
    const left = await this.#allPaths();
    if (left.length > 0) {
      throw fail(
        "busy",
        `${this.what}: '${left.map(({ name }) => `/dev/${name}`).join("', '")}' came back; look who scans for disks`,
      );
    }
  }

  /**
   * Makes the kernel see a new size on every path that the disk is used through, and on the map. They must have at least
   * `size` bytes; what an array rounds up is theirs too. A path that joins the map later is looked at by the next activation.
   */
  async refresh(size: bigint): Promise<void> {
    await this.#rescan(await this.#usedPaths());
    const paths = await this.#usedPaths();
    const small = paths.filter((path) => path.size < size);
    if (small.length > 0) {
      throw fail(
        "unreachable",
        `${this.what}: ${small.map(({ name }) => name).join(", ")} does not see ${size} bytes yet; repeat the resize`,
      );
    }
    const map = await this.layer.multipathMap(this.root, this.wwid);
    if (map) await this.#resizeMap(map, sizeOfAll(paths) ?? size);
  }

  /** What has grown elsewhere is seen after a look; what has no capacity was exported badly. */
  async #requireSize(ctx: Context, paths: readonly DevicePath[], size: bigint): Promise<void> {
    if (paths.every((path) => path.size === size)) return;
    await this.#rescan(paths);
    const at = paths.map(({ hctl }) => hctl);
    const { there } = await stopped(ctx, this.layer.waitPaths(this.root, this.wwid, at, 0));
    const sizes = new Map(there.map((path) => [path.name, path.size]));
    const wrong = paths.find(({ name }) => sizes.get(name) !== size);
    if (!wrong) return;
    throw fail(
      "unreachable",
      `${this.what}: '/dev/${wrong.name}' has ${sizes.get(wrong.name) ?? 0n} bytes instead of ${size}; detach the volume on the array, then activate it again`,
    );
  }

  /** Every path of the disk, from wherever. */
  #allPaths(): Promise<DevicePath[]> {
    return this.layer.devicePaths(this.root, this.wwid);
  }

  #usedPaths(): Promise<DevicePath[]> {
    return this.layer.usedPaths(this.root, this.wwid);
  }

  async #rescan(paths: readonly DevicePath[]): Promise<void> {
    await Promise.all(
      paths.map(({ hctl }) => this.layer.rescanPath(this.root, hctl, this.wwid, limits.resize)),
    );
  }

  /** The map's device, once it is certain that the map is this disk's and has its size. */
  async #deviceOf(
    map: MultipathMap,
    paths: readonly DevicePath[],
    size: bigint | undefined,
  ): Promise<string> {
    await this.#requireOwn(
      map,
      paths.map(({ hctl }) => hctl),
    );
    if (!map.paths.some(({ name }) => paths.some((path) => path.name === name))) {
      throw fail(
        "refused",
        `${this.what}: map '${map.name}' has none of its paths ${paths.map(({ name }) => `'/dev/${name}'`).join(", ")}; look at multipath -ll and the log of multipathd`,
      );
    }
    await this.#resizeMap(map, size);
    return `/dev/mapper/${map.name}`;
  }

  /** A path of a map that is at no address of this disk is another disk's, and the map may be, too. */
  async #requireOwn(map: MultipathMap, at: readonly Hctl[]): Promise<void> {
    if (!this.own) return;
    const elsewhere = (own: readonly Hctl[]) =>
      map.paths.flatMap(({ name, hctl }) =>
        hctl && !own.some((one) => addressText(one) === addressText(hctl))
          ? [`'/dev/${name}' at ${addressText(hctl)}`]
          : [],
      );
    if (elsewhere(at).length === 0) return;
    const foreign = elsewhere(await this.own());
    if (foreign.length === 0) return;
    throw fail(
      "refused",
      `${this.what}: map '${map.name}' has its identity and is another disk's: ${foreign.join(", ")}; deactivate the volume that has it, or give one of the two another identity on the array`,
    );
  }

  async #resizeMap(map: MultipathMap, size: bigint | undefined): Promise<void> {
    if (size !== undefined && map.size !== size)
      await this.layer.multipathResize(this.root, this.wwid, size, limits.resize);
  }

  async #scan(ctx: Context, at: readonly Hctl[]): Promise<void> {
    const results = await Promise.allSettled(
      at.map((hctl) => this.layer.scanLun(this.root, hctl, limits.scan)),
    );
    for (const [index, result] of results.entries()) {
      const hctl = at[index];
      if (result.status === "rejected" && hctl) {
        ctx.log.warn("a scan failed", { at: addressText(hctl), error: result.reason });
      }
    }
  }

  async #removeForeign(ctx: Context, foreign: readonly DevicePath[]): Promise<void> {
    for (const { name, hctl, wwid } of foreign) {
      if (wwid === undefined) throw this.#wrongDisk(foreign);
      ctx.log.warn("another disk is left at an address of this one, removing it", {
        name,
        at: addressText(hctl),
        wwid,
      });
      try {
        const disk = new ScsiDisk(this.layer, wwid, this.what, this.root);
        await disk.remove(ctx);
      } catch (error) {
        if (codeOf(error) === "busy") throw this.#wrongDisk(foreign);
        throw error;
      }
    }
  }

  #wrongDisk(foreign: readonly DevicePath[]) {
    const seen = foreign.map(
      ({ name, wwid, hctl }) => `'/dev/${name}' at ${addressText(hctl)} is ${wwid ?? "unknown"}`,
    );
    return fail(
      "refused",
      `${this.what}: this is not disk ${this.wwid}: ${seen.join(", ")}; stop what uses it, then deactivate its volume`,
    );
  }

  /**
   * Paths without a map: each has a cache of its own, and the data in it is in no other. A program that the kernel makes wait
   * for a lost connection may show no more as a user of the path.
   */
  async #flushAll(paths: readonly DevicePath[]): Promise<void> {
    const alive = paths.filter(({ state }) => !dead.has(state));
    const waiting = alive.filter(({ state }) => state !== "running");
    if (waiting.length > 0) {
      const states = waiting.map(({ name, state }) => `'/dev/${name}' is ${state}`).join(", ");
      throw fail(
        "unreachable",
        `${this.what}: ${states}, and data may wait for it; try again when the array can be reached, or when the kernel has given the path up`,
      );
    }
    await Promise.all(alive.map(({ name }) => this.#flush(`/dev/${name}`)));
  }

  async #flush(device: string): Promise<void> {
    try {
      await this.layer.flushDevice(device, limits.flush);
    } catch (error) {
      throw fail(
        codeOf(error),
        `${this.what}: not all data of '${basename(device)}' could be written; it stays attached`,
        error,
      );
    }
  }
}

/** Stops a wait of the Rust layer when the caller goes away. */
export async function stopped<T>(ctx: Context, work: Stoppable<T>): Promise<T> {
  ctx.signal.throwIfAborted();
  const stop = () => work.cancel();
  ctx.signal.addEventListener("abort", stop, { once: true });
  try {
    return await work;
  } catch (error) {
    ctx.signal.throwIfAborted();
    throw error;
  } finally {
    ctx.signal.removeEventListener("abort", stop);
  }
}

/** Where all paths agree. */
function sizeOfAll([first, ...others]: readonly DevicePath[]): bigint | undefined {
  return others.every(({ size }) => size === first?.size) ? first?.size : undefined;
}

/** `H:C:T:L`. */
export function addressText({ host, channel, target, lun }: Hctl): string {
  return `${host}:${channel}:${target}:${lun}`;
}
