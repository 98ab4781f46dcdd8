// SPDX-License-Identifier: AGPL-3.0-or-later
import { stat } from "node:fs/promises";
import type { Context, Host } from "../../common/context.js";
import { codeOf, during } from "../../common/errors.js";
import { native } from "../../common/native.js";
import type { Bytes } from "../../common/size.js";
import type {
  Capabilities,
  Capacity,
  Connection,
  Driver,
  DriverEnvironment,
  Snapshot,
  Staging,
  Upkeep,
  Volume,
  VolumeRef,
} from "../contract.js";
import { checkMountpoint, createDirectories, probe } from "./directory.js";
import { Layout } from "./layout.js";
import type { BlockioSection } from "./schema.js";
import * as snapshots from "./snapshots.js";
import * as imports from "./staging.js";
import * as upkeep from "./upkeep.js";
import * as volumes from "./volumes.js";

/** The embedded array: files and directories below one path. See `docs/blockio.md`. */
export class BlockioDriver implements Driver {
  readonly domain: string;
  readonly #layout: Layout;
  readonly #environment: DriverEnvironment;
  /** Whether the file system shares blocks between files, by device number: probed once for each mount. */
  readonly #reflink = new Map<bigint, boolean>();

  constructor(section: BlockioSection, environment: DriverEnvironment) {
    this.#layout = new Layout(section, environment.host.name);
    this.#environment = environment;
    this.domain = `blockio:${this.#layout.images}`;
  }

  async capabilities(): Promise<Capabilities> {
    const reflink = await this.#canReflink();
    return {
      snapshots: reflink,
      linkedClones: reflink,
      clonesDependOnBase: false,
      rename: true,
      rollbackToAny: true,
      zeroedOnCreate: true,
      atomicNames: true,
      directories: true,
    };
  }

  async check(): Promise<void> {
    await checkMountpoint(this.#layout);
    await createDirectories(this.#layout);
  }

  async capacity(): Promise<Capacity> {
    return this.#reachable();
  }

  async identity(): Promise<string> {
    const { fsType } = await this.#reachable();
    return `blockio:${fsType}:${this.#layout.images}`;
  }

  async listVolumes(_ctx: Context, vmid?: number): Promise<Volume[]> {
    return this.#during("list volumes", () => volumes.listVolumes(this.#layout, this.#environment, vmid));
  }

  async getVolume(_ctx: Context, ref: VolumeRef): Promise<Volume> {
    return this.#during(`look up '${ref.volname}'`, () => volumes.getVolume(this.#layout, ref));
  }

  async createVolume(_ctx: Context, ref: VolumeRef, size: Bytes): Promise<VolumeRef> {
    await this.#during(`create '${ref.volname}'`, () => volumes.createVolume(this.#layout, ref, size));
    return ref;
  }

  async deleteVolume(ctx: Context, ref: VolumeRef): Promise<boolean> {
    return this.#during(`delete '${ref.volname}'`, () => volumes.deleteVolume(ctx, this.#layout, ref));
  }

  async resizeVolume(_ctx: Context, ref: VolumeRef, size: Bytes): Promise<void> {
    return this.#during(`resize '${ref.volname}'`, () => volumes.resizeVolume(this.#layout, ref, size));
  }

  async renameVolume(_ctx: Context, from: VolumeRef, to: VolumeRef): Promise<VolumeRef> {
    await this.#during(`rename '${from.volname}'`, () => volumes.renameVolume(this.#layout, from, to));
    return to;
  }

  async createSnapshot(ctx: Context, ref: VolumeRef, name: string): Promise<void> {
    return this.#during(`snapshot '${ref.volname}'`, () =>
      snapshots.createSnapshot(ctx, this.#layout, ref, name),
    );
  }

  async deleteSnapshot(_ctx: Context, ref: VolumeRef, name: string): Promise<void> {
    return this.#during(`delete snapshot '${name}' of '${ref.volname}'`, () =>
      snapshots.deleteSnapshot(this.#layout, ref, name),
    );
  }

  async listSnapshots(_ctx: Context, ref: VolumeRef): Promise<Snapshot[]> {
    return this.#during(`list snapshots of '${ref.volname}'`, () =>
      snapshots.listSnapshots(this.#layout, ref),
    );
  }

  async rollback(ctx: Context, ref: VolumeRef, name: string): Promise<void> {
    return this.#during(`roll back '${ref.volname}'`, () => snapshots.rollback(ctx, this.#layout, ref, name));
  }

  async cloneVolume(
    ctx: Context,
    source: VolumeRef,
    snapshot: string | undefined,
    target: VolumeRef,
  ): Promise<VolumeRef> {
    await this.#during(`clone '${source.volname}'`, () =>
      snapshots.cloneVolume(ctx, this.#layout, source, snapshot, target),
    );
    return target;
  }

  async makeBase(ctx: Context, from: VolumeRef, to: VolumeRef): Promise<VolumeRef> {
    await this.#during(`make a base of '${from.volname}'`, async () =>
      volumes.makeBase(ctx, this.#layout, from, to, await this.#canReflink()),
    );
    return to;
  }

  async publish(
    ctx: Context,
    ref: VolumeRef,
    snapshot: string | undefined,
    _host: Host,
  ): Promise<Connection> {
    return this.locate(ctx, ref, snapshot);
  }

  async locate(_ctx: Context, ref: VolumeRef, snapshot: string | undefined): Promise<Connection> {
    return this.#during(`open '${ref.volname}'`, async () => {
      await volumes.getVolume(this.#layout, ref);
      const path = this.#layout.path(ref, snapshot);
      if (snapshot !== undefined)
        await during(`snapshot '${snapshot}' of '${ref.volname}'`, () => stat(path));
      return { kind: "file", path };
    });
  }

  async unpublish(): Promise<boolean> {
    // A file needs nothing to be reached, so there is nothing to take back.
    return true;
  }

  readonly staging: Staging = {
    begin: (_ctx, ref, size) =>
      this.#during(`import '${ref.volname}'`, async () => ({
        ref,
        target: await imports.beginImport(this.#layout, ref, size),
      })),
    commit: (_ctx, ref) =>
      this.#during(`import '${ref.volname}'`, () => imports.commitImport(this.#layout, ref)),
    abort: (_ctx, ref) =>
      this.#during(`give up the import of '${ref.volname}'`, () => imports.abortImport(this.#layout, ref)),
  };

  readonly upkeep: Upkeep = {
    needs: async () => upkeep.needs(),
    diagnose: () => upkeep.diagnose(this.#layout),
    leftovers: () =>
      this.#during("look for leftovers", () => upkeep.leftovers(this.#layout, this.#environment)),
    removeLeftover: (_ctx, leftover) =>
      this.#during(`remove '${leftover.name}'`, () =>
        upkeep.removeLeftover(this.#layout, this.#environment, leftover),
      ),
  };

  async close(): Promise<void> {
    // Holds nothing open.
  }

  async #canReflink(): Promise<boolean> {
    const { dev } = await this.#reachable();
    const known = this.#reflink.get(dev);
    if (known !== undefined) return known;
    try {
      const answer = await native().reflinkSupported(this.#layout.images);
      this.#reflink.set(dev, answer);
      return answer;
    } catch (error) {
      // No images directory yet: ask its parent, and again the next time.
      if (codeOf(error) !== "absent") throw error;
      return native().reflinkSupported(this.#layout.section.path);
    }
  }

  /**
   * Each verb first asks whether the right file system is there and answers: below an empty mount point lies another
   * one, and one that hangs would take a pool thread with it.
   */
  async #reachable() {
    await checkMountpoint(this.#layout);
    return probe(this.#layout.section.path);
  }

  async #during<T>(what: string, body: () => Promise<T>): Promise<T> {
    await this.#reachable();
    return during(`${what} on storage '${this.#environment.storeid}'`, body);
  }
}
