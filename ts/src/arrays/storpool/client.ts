// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import { Unreadable } from "../../common/http/lost.js";
import type { Bytes } from "../../common/size.js";
import { ArrayError } from "./answer.js";
import { Queries } from "./queries.js";
import { createdSchema, groupCreatedSchema, snapshotCreatedSchema } from "./schemas.js";
import { gone, reassigned, rebuffed, updated } from "./settle.js";
import type { Tags } from "./tags.js";
import type { Call } from "./transport.js";

/** What a new volume starts from: nothing, a snapshot, or a copy of a volume as it is now. */
export type VolumeSource =
  | { readonly size: Bytes; readonly template: string }
  | { readonly parent: string; readonly size?: Bytes; readonly template?: string }
  | { readonly baseOn: string; readonly size?: Bytes; readonly template?: string };

/** One change of attachments. Client ids are the numbers of `SP_OURID`. */
export type Reassign = (
  | { readonly volume: string; readonly rw?: readonly number[] }
  | { readonly snapshot: string }
) & {
  readonly ro?: readonly number[];
  readonly detach?: readonly number[] | "all";
  /** Detach also from clients that have the device open. */
  readonly force?: boolean;
};

/** Finds out whether a command was done whose answer cannot be read; throws when it was not, or that is unknown. */
type Settle = (unread: Unreadable) => Promise<void>;

/** Snapshots that one group command made. */
export type GroupSnapshot = readonly { readonly volumeGid: string; readonly gid: string }[];

/**
 * StorPool's management API, one method per request. Volumes and snapshots are addressed by global id. Errors are ours:
 * `absent` only when StorPool said so, {@link LostReply} when a creating command may have worked unseen (create through
 * `creation.ts`, which settles that).
 */
export class StorpoolClient extends Queries {
  /** Makes an unnamed volume and gives its global id. */
  async createVolume(ctx: Context, source: VolumeSource, tags: Tags): Promise<string> {
    const { size, template } = source;
    const from =
      "parent" in source
        ? { parent: this.address(source.parent) }
        : "baseOn" in source
          ? { baseOn: this.address(source.baseOn) }
          : {};
    const body = {
      ...from,
      ...(template === undefined ? {} : { template }),
      ...(size === undefined ? {} : { size: sizeNumber(size) }),
      tags,
    };
    const what = `create volume (VM ${tags["pve-vm"] ?? "none"}, disk ${tags["pve-disk"] ?? "none"})`;
    const data = await this.transport.call(ctx, { what, path: "VolumeCreate", body, repeat: "once" });
    return this.decodeCreated(what, createdSchema, data).globalId;
  }

  /** Grows, tags or moves a volume. Tags are merged into those that are there; an empty value clears one. */
  async updateVolume(
    ctx: Context,
    gid: string,
    change: { readonly size?: Bytes; readonly tags?: Tags; readonly template?: string },
  ): Promise<void> {
    const { size, ...rest } = change;
    // Never `shrinkOk` nor `sizeAdd`: a repeated command must not do more than the first one.
    const body = { ...rest, ...(size === undefined ? {} : { size: sizeNumber(size) }) };
    await this.#command(ctx, `update volume ${gid}`, `VolumeUpdate/${this.address(gid)}`, body, (unread) =>
      updated(this, ctx, "volume", gid, change, unread),
    );
  }

  /** Tags a snapshot, in the same way. */
  async updateSnapshot(ctx: Context, gid: string, change: { readonly tags: Tags }): Promise<void> {
    await this.#command(
      ctx,
      `update snapshot ${gid}`,
      `SnapshotUpdate/${this.address(gid)}`,
      change,
      (unread) => updated(this, ctx, "snapshot", gid, change, unread),
    );
  }

  /** Deletes a volume; false when StorPool says that there was none. `busy` while it is attached. */
  deleteVolume(ctx: Context, gid: string): Promise<boolean> {
    return this.#vanish(ctx, "volume", gid, `delete volume ${gid}`, `VolumeDelete/${this.address(gid)}`);
  }

  /** Deletes a snapshot; one with children stays, marked as deleted, until they are gone. False when there was none. */
  deleteSnapshot(ctx: Context, gid: string): Promise<boolean> {
    return this.#vanish(
      ctx,
      "snapshot",
      gid,
      `delete snapshot ${gid}`,
      `SnapshotDelete/${this.address(gid)}`,
    );
  }

  /** Makes a snapshot of a volume and gives its global id. */
  async snapshotVolume(ctx: Context, gid: string, tags: Tags): Promise<string> {
    const what = `snapshot volume ${gid}`;
    const path = `VolumeSnapshot/${this.address(gid)}`;
    const data = await this.transport.call(ctx, { what, path, body: { tags }, repeat: "once" });
    return this.decodeCreated(what, snapshotCreatedSchema, data).snapshotGlobalId;
  }

  /** Makes snapshots of several volumes at one instant, each with its own tags. */
  async groupSnapshot(
    ctx: Context,
    volumes: readonly { readonly gid: string; readonly tags: Tags }[],
  ): Promise<GroupSnapshot> {
    const what = `snapshot volumes ${volumes.map(({ gid }) => gid).join(", ")}`;
    const body = { volumes: volumes.map(({ gid, tags }) => ({ volume: this.address(gid), tags })) };
    const call = { what, path: "VolumesGroupSnapshot", body, repeat: "once" } as const;
    const data = await this.transport.call(ctx, call);
    return this.decodeCreated(what, groupCreatedSchema, data).snapshots.map((made) => ({
      volumeGid: made.volumeGlobalId,
      gid: made.snapshotGlobalId,
    }));
  }

  /** Brings content and size of a snapshot back. `busy` while the volume is attached. */
  async revert(ctx: Context, gid: string, snapshotGid: string): Promise<void> {
    const body = { toSnapshot: this.address(snapshotGid), revertSize: true };
    await this.#command(
      ctx,
      `roll back volume ${gid} to ${snapshotGid}`,
      `VolumeRevert/${this.address(gid)}`,
      body,
      (unread) => rebuffed(this, ctx, gid, snapshotGid, unread),
    );
  }

  /**
   * Turns a volume into a snapshot. False when there is no such volume, as StorPool says; after a lost reply that is
   * success, so look for the snapshot afterwards.
   */
  freeze(ctx: Context, gid: string): Promise<boolean> {
    return this.#vanish(ctx, "volume", gid, `freeze volume ${gid}`, `VolumeFreeze/${this.address(gid)}`);
  }

  /** Makes an object depend on another snapshot, or on none. */
  async rebase(
    ctx: Context,
    type: "volume" | "snapshot",
    gid: string,
    parentGid: string | undefined,
  ): Promise<void> {
    const path = `${type === "volume" ? "VolumeRebase" : "SnapshotRebase"}/${this.address(gid)}`;
    const body = parentGid === undefined ? {} : { parentName: this.address(parentGid) };
    await this.#command(ctx, `rebase ${type} ${gid}`, path, body);
  }

  /**
   * Attaches and detaches, and waits at most `attachTimeout` seconds for the clients. A forced detach is not repeated
   * after a lost reply ({@link LostReply}): meanwhile another node may have taken the volume over, so that the caller
   * has to look again.
   */
  async reassignWait(ctx: Context, entries: readonly Reassign[], attachTimeout: number): Promise<void> {
    const names = entries.map((entry) => ("volume" in entry ? entry.volume : entry.snapshot));
    const reassign = entries.map((entry) => ({
      ...entry,
      ...("volume" in entry
        ? { volume: this.address(entry.volume) }
        : { snapshot: this.address(entry.snapshot) }),
    }));
    const call: Call = {
      what: `attach or detach ${names.join(", ")}`,
      path: "VolumesReassignWait",
      // Without the limit StorPool would wait forever for a client that is gone.
      body: { reassign, attachTimeout },
      repeat: entries.some(({ force }) => force) ? "once" : "repeatable",
      limitMs: attachTimeout * 1000 + 15_000,
      waits: true,
    };
    await this.#settled(ctx, call, (unread) => reassigned(this, ctx, entries, attachTimeout, unread));
  }

  async #command(
    ctx: Context,
    what: string,
    path: string,
    body: unknown,
    settle: Settle = async (unread) => Promise.reject(unread),
  ): Promise<void> {
    await this.#settled(ctx, { what, path, body, repeat: "repeatable" }, settle);
  }

  /** Sends a command; when its answer cannot be read, `settle` looks whether it was done, and throws when not. */
  async #settled(ctx: Context, call: Call, settle: Settle): Promise<void> {
    try {
      await this.transport.call(ctx, call);
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      ctx.log.warn("an answer of StorPool cannot be read, looking at what became of the command", { error });
      await settle(error);
    }
  }

  /** A command after which the object is gone: that it is gone already, after a lost reply, is our own work. */
  async #vanish(
    ctx: Context,
    type: "volume" | "snapshot",
    gid: string,
    what: string,
    path: string,
  ): Promise<boolean> {
    try {
      await this.#command(ctx, what, path, {}, (unread) => gone(this, ctx, type, gid, unread));
      return true;
    } catch (error) {
      if (error instanceof ArrayError && error.code === "absent") return error.afterLost;
      throw error;
    }
  }
}

/** A size as StorPool takes it: whole sectors, and exact as a JSON number. */
function sizeNumber(size: Bytes): number {
  const value = Number(size);
  if (size <= 0n || size % 512n !== 0n || !Number.isSafeInteger(value)) {
    throw fail("invalid", `size of ${size} bytes: StorPool needs a multiple of 512 above 0; round it up`);
  }
  return value;
}
