// SPDX-License-Identifier: AGPL-3.0-or-later
import type * as z from "zod";
import type { Context, Host } from "../common/context.js";
import type { Bytes } from "../common/size.js";
import type { Upkeep } from "./upkeep.js";

export type { Leftover, NodeNeeds, Upkeep } from "./upkeep.js";

/**
 * The driver contract. A driver turns these verbs into calls of one kind of array. It knows volumes by the names
 * that PVE uses (already parsed) and maps them to the array's own objects in its `naming` file.
 *
 * Rules for every verb:
 * - Idempotent: repeating a call that was cut off ends in the same state. Deleting what is absent succeeds, but
 *   only when the array said so itself.
 * - An array that does not answer is `unreachable`, never `absent`. A guard that gets no answer refuses.
 * - What cannot be finished is taken back, or left so that the same call repeated finishes or removes it.
 * - `ctx.signal` is looked at between steps and handed to every wait.
 */

/** How the bytes of a volume are laid out. */
export type Format = "raw" | "subvol";

/** What PVE takes a volume for. */
export type VolumeType = "images" | "iso";

/**
 * A volume as PVE names it, parsed by the type's grammar. Where the array makes a part of the name, what is asked for
 * is a shorter name of the same grammar; the verbs that make or rename a volume return the whole one.
 */
export interface VolumeRef {
  /** The whole name after `storeid:`, for instance `100/vm-100-disk-0.raw`. */
  readonly volname: string;
  /** Owner; 0 for what belongs to no guest. */
  readonly vmid: number;
  /** The volume's own name, without the parts that encode owner directory or base. */
  readonly name: string;
  readonly vtype: VolumeType;
  readonly format: Format;
  /** Immutable: a template's disk, or an image that belongs to no guest. */
  readonly isBase: boolean;
  /** For names that encode the base they depend on. */
  readonly base?: { readonly vmid: number; readonly name: string };
}

/** What a driver knows of an existing volume. */
export interface Volume {
  readonly ref: VolumeRef;
  /** Size that a guest sees, in bytes; 0 for a directory without quota. */
  readonly size: Bytes;
  /** Bytes occupied on the array, where it says so. */
  readonly used?: Bytes;
  /** `volname` of the base this volume depends on. */
  readonly parent?: string;
  /** Creation time, seconds since the epoch. */
  readonly ctime?: number;
}

export interface Snapshot {
  readonly name: string;
  /** Unique for this snapshot, also among earlier ones of the same name. */
  readonly id: string;
  /** Seconds since the epoch. */
  readonly timestamp: number;
}

/** What would be lost by a rollback, or keeps the array from it. */
export interface Obstacles {
  /** PVE's snapshots that are newer, oldest first. */
  readonly snapshots: readonly string[];
  /** Everything else, in words. */
  readonly others: readonly string[];
}

export interface Capacity {
  readonly total: Bytes;
  readonly available: Bytes;
  readonly used: Bytes;
}

/** Where a published volume can be reached. */
export type Connection =
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "device"; readonly path: string }
  /** A device that DRBD, or a layer of LINSTOR, has made on this node. */
  | { readonly kind: "drbd"; readonly path: string }
  | {
      readonly kind: "iscsi";
      /** `address:port`, or an address alone for port 3260. */
      readonly portals: readonly string[];
      readonly iqn: string;
      readonly lun: number;
      /** Identity of the disk as udev and multipath have it (`ID_SERIAL`). */
      readonly wwid: string;
      /** What the disk must have, where the array says so. */
      readonly size?: Bytes;
      /** False: the first portal that works is enough. All of them otherwise. */
      readonly multipath?: boolean;
      readonly chap?: { readonly user: string; readonly password: string };
    }
  | {
      readonly kind: "fc";
      /** Port names (WWPN) of the array's ports that export the volume to this node. */
      readonly wwpns: readonly string[];
      readonly lun: number;
      readonly wwid: string;
    }
  | {
      readonly kind: "nvme-tcp";
      readonly portals: readonly string[];
      readonly nqn: string;
      readonly nguid: string;
    };

/** What a driver can do on this storage, settled at run time. The plugin layer derives features and locking. */
export interface Capabilities {
  readonly snapshots: boolean;
  readonly linkedClones: boolean;
  /** A linked clone keeps its base from being deleted. */
  readonly clonesDependOnBase: boolean;
  readonly rename: boolean;
  /** Rollback to any snapshot; otherwise newer ones block it. */
  readonly rollbackToAny: boolean;
  /** New volumes read as zeros throughout. */
  readonly zeroedOnCreate: boolean;
  /** The array makes names unique and refuses to delete what is in use: no cluster-wide lock is needed. */
  readonly atomicNames: boolean;
  /** Directory volumes (`subvol`) exist. */
  readonly directories: boolean;
}

/** Where imported data goes. */
export interface ImportTarget {
  /**
   * `create`: the stream makes the file `path` in one step at its end; `directory`: an archive is unpacked in the empty
   * directory `path`.
   */
  readonly kind: "create" | "file" | "device" | "directory";
  readonly path: string;
  /** The target is known to read as zeros where nothing is written. */
  readonly zeroed: boolean;
}

/**
 * Imports whose volume stays hidden until it is complete. Each verb finds its way by the name alone, so that an
 * import outlives a restart of the service.
 */
export interface Staging {
  /** Reserves the name and gives the place for `size` bytes of data. Throws `exists`. */
  begin(ctx: Context, ref: VolumeRef, size: Bytes): Promise<{ ref: VolumeRef; target: ImportTarget }>;
  /** Makes the volume appear under its name, durable. Throws `exists` when the name was taken meanwhile. */
  commit(ctx: Context, ref: VolumeRef): Promise<void>;
  /** Removes what this node's import has made, and nothing that bears the volume's name. */
  abort(ctx: Context, ref: VolumeRef): Promise<void>;
}

export interface Driver {
  /**
   * What two storages share when they are the same place (pool, directory); locks of guests are taken in it.
   */
  readonly domain: string;

  /** What this storage can do; asked once and kept by the plugin layer as long as the array is the same. */
  capabilities(ctx: Context): Promise<Capabilities>;

  /** Makes the storage usable on this node. Quick, called all the time. Throws when it cannot be used. */
  check(ctx: Context): Promise<void>;
  capacity(ctx: Context): Promise<Capacity>;
  /** A string that is the same for each storage on the same array, pool and path. */
  identity(ctx: Context): Promise<string>;

  /** All volumes, or those of one guest. Never snapshots, never what another program keeps there. */
  listVolumes(ctx: Context, vmid?: number): Promise<Volume[]>;
  /** Throws `absent` when the array says that it does not exist. Its `ref` has the whole name. */
  getVolume(ctx: Context, ref: VolumeRef): Promise<Volume>;

  /**
   * What PVE's `volume_size_info` is told, where that is more than {@link getVolume}: while the array is silent, the size of
   * the device that is on this node. No proof that the volume exists.
   */
  sizeInfo?(ctx: Context, ref: VolumeRef): Promise<Volume>;

  /** Makes an empty volume of at least `size` bytes. Throws `exists` when the name is taken, also by a race. */
  createVolume(ctx: Context, ref: VolumeRef, size: Bytes): Promise<VolumeRef>;
  /** Deletes a volume with its snapshots. False when there was none. `busy` while it is in use. */
  deleteVolume(ctx: Context, ref: VolumeRef): Promise<boolean>;
  /**
   * Grows a volume to at least `size` bytes. `invalid` when it is larger than what the array makes of that; the same size
   * succeeds, also one that was rounded up.
   */
  resizeVolume(ctx: Context, ref: VolumeRef, size: Bytes): Promise<void>;
  /**
   * Gives a volume another name. Throws `absent` when there is none of the old one, `exists` when the new one is
   * taken, `refused` when snapshots tie it.
   */
  renameVolume(ctx: Context, from: VolumeRef, to: VolumeRef): Promise<VolumeRef>;

  /** Atomic, instant, also while in use. Throws `exists` when there is one of that name. */
  createSnapshot(ctx: Context, ref: VolumeRef, snapshot: string): Promise<void>;
  /** Succeeds when there is none. */
  deleteSnapshot(ctx: Context, ref: VolumeRef, snapshot: string): Promise<void>;
  listSnapshots(ctx: Context, ref: VolumeRef): Promise<Snapshot[]>;
  /**
   * What is in the way of a rollback; undefined when there is no such snapshot. Without it PVE's newer snapshots are, unless
   * the array can roll back to any. Throws `absent` when there is no such volume.
   */
  rollbackObstacles?(ctx: Context, ref: VolumeRef, snapshot: string): Promise<Obstacles | undefined>;
  /** Brings content and size of the snapshot back. Throws `absent`, `busy`. */
  rollback(ctx: Context, ref: VolumeRef, snapshot: string): Promise<void>;

  /** Makes `target` a writable copy-on-write copy of `source` or of its snapshot. Throws `exists`. */
  cloneVolume(
    ctx: Context,
    source: VolumeRef,
    snapshot: string | undefined,
    target: VolumeRef,
  ): Promise<VolumeRef>;
  /** Turns a volume into an immutable base under the name `to`. Repeated after an interruption it goes on. */
  makeBase(ctx: Context, from: VolumeRef, to: VolumeRef): Promise<VolumeRef>;

  /** Makes a volume or snapshot reachable for `host`; repeatable. */
  publish(ctx: Context, ref: VolumeRef, snapshot: string | undefined, host: Host): Promise<Connection>;
  /** After a login of this node was rejected: makes the array know the credentials that {@link publish} gives. */
  renewAccess?(ctx: Context, ref: VolumeRef, snapshot: string | undefined): Promise<void>;
  /**
   * Ends that; succeeds when it was not published. Called after the node's connector has let go of the volume: its device is
   * gone, and with the last one the session. What the array's own client made goes with this call. Other hosts keep their
   * access. False when the volume stays reachable: because the array's configuration says so, or as an image that another
   * guest of the host has open. Throws `busy`.
   */
  unpublish(ctx: Context, ref: VolumeRef, snapshot: string | undefined, host: Host): Promise<boolean>;
  /** Where a volume or snapshot is when it is published; changes nothing. Throws `absent`. */
  locate(ctx: Context, ref: VolumeRef, snapshot: string | undefined): Promise<Connection>;

  /**
   * Without it the plugin layer creates the volume for an import, publishes it, and deletes it again when the
   * import fails. What is immutable is written as the volume that `makeBase` then makes it of.
   */
  readonly staging?: Staging;

  /** Its part of the diagnosis and of the search for leftovers; without it only what is the same for all is looked at. */
  readonly upkeep?: Upkeep;

  /** Gives up sessions and other resources of this process; the storage itself stays as it is. */
  close(): Promise<void>;
}

/** What a driver is made from. */
export interface DriverEnvironment {
  readonly storeid: string;
  readonly host: Host;
  /** Parses a volume name of this type; throws `invalid`. */
  parse(volname: string): VolumeRef;
  /** Builds the name of a volume of this type. */
  compose(parts: { vmid: number; name: string }): VolumeRef;
}

/** A section that is added or changed. */
export interface SectionChange {
  readonly storeid: string;
  /** As it will be. */
  readonly section: Readonly<Record<string, unknown>>;
  /** What of it is new. */
  readonly changed: Readonly<Record<string, unknown>>;
  readonly deleted: readonly string[];
  /** Secrets: new values, null for what is deleted. */
  readonly sensitive: Readonly<Record<string, string | null>>;
}

/** What happens outside storage.cfg when a section comes, changes or goes. */
export interface SectionHooks {
  add(change: SectionChange): Promise<void>;
  update(change: SectionChange): Promise<void>;
  remove(storeid: string): Promise<void>;
}

/** One rule of a volume-name grammar. Patterns use only what Perl and JavaScript have in common. */
export interface VolnameRule {
  /**
   * Named groups: `name` always, `vmid` for what belongs to a guest, `format` when `format` is `{format}`, `basevmid` and `basename` for
   * names that encode a base.
   */
  readonly pattern: string;
  readonly vtype: VolumeType;
  readonly isBase: boolean;
  readonly format: Format | "{format}";
}

/** PVE's features, keyed by `current`, `base` or `snap`, each with the formats that have it. */
export type FeatureMatrix = Readonly<
  Partial<
    Record<
      "snapshot" | "clone" | "template" | "copy" | "sparseinit" | "rename",
      Readonly<Partial<Record<"current" | "base" | "snap", readonly Format[]>>>
    >
  >
>;

/** PVE's metadata of a storage.cfg property, kept beside its schema. */
export interface PveProperty {
  /** Declared by PVE itself: listed as an option only. */
  readonly core?: boolean;
  /** Settable at creation only. */
  readonly fixed?: boolean;
  /** Kept outside storage.cfg. */
  readonly sensitive?: boolean;
  readonly description?: string;
}

/** Everything that is constant about a storage type; the manifest is made from it. */
export interface StorageType {
  readonly type: string;
  /** The properties of a storage.cfg section of this type, by name. */
  readonly properties: Readonly<Record<string, { schema: z.ZodType; pve: PveProperty }>>;
  readonly content: { readonly allowed: readonly string[]; readonly default: readonly string[] };
  readonly formats: { readonly allowed: readonly Format[]; readonly default: Format };
  /** Every section of this type is shared between nodes, whatever it says. */
  readonly alwaysShared: boolean;
  /** `directory`: names that match `delegate` and content other than disks are PVE's own business. */
  readonly base: "directory" | null;
  readonly locking: "guest" | "storage";
  readonly volnames: { readonly delegate?: string; readonly rules: readonly VolnameRule[] };
  /**
   * Templates of local paths; see the manifest's documentation for the placeholders. Where a name lacks what the
   * template asks for, and where there is no template, the service is asked.
   */
  readonly path: string;
  readonly snapshotPath: string | null;
  readonly features: FeatureMatrix;
  /** Features that hold only when the storage has a capability at run time. */
  readonly featureRequires: Readonly<Record<string, string>>;
  readonly streams: Readonly<Partial<Record<Format, Readonly<Record<string, "service">>>>>;
  readonly blockdev: { readonly driver: "file" | "host_device" };
  /** The array makes a part of each name: a new volume's is longer than what was asked for. */
  readonly arrayNames: boolean;
  readonly needsFsfreeze: boolean;
  /**
   * False when a volume needs nothing to be reachable on a node, so that there is nothing to take back: a guest can
   * stop cleanly while the service is down.
   */
  readonly needsDeactivation: boolean;
  /**
   * A volume whose device is on the node is attached, and detached, also while the array is silent. Then that silence does
   * not keep PVE from using the storage, which it does first of all when a guest starts; `status` is as for all types.
   */
  readonly attachesWithoutArray?: boolean;
  /** A volume is taken off the node before it gets another name, which its device is found by. */
  readonly renamesDetached?: boolean;
  /** For types that keep something outside storage.cfg. */
  readonly sections?: SectionHooks;
  /** Builds `volname` and name parts. */
  readonly naming: {
    /** `vm-100-disk-3.raw` and the like. */
    diskName(vmid: number, format: Format, index: number): string;
    /** The volume name of `name` owned by `vmid`, optionally on a base. */
    volname(vmid: number, name: string, base?: { vmid: number; name: string }): string;
    /** The name that the volume gets as a base. */
    baseName(ref: VolumeRef): string;
    /**
     * For what belongs to no guest: the name of the volume that an import of `ref` is written to, which `baseName` turns
     * into the one it gets at the end. The second and further choices are those that are tried when a name is taken.
     */
    importName?(ref: VolumeRef, choice: number): string;
    /** The index of a name made by `diskName`, for any role. */
    diskIndex(name: string): number | undefined;
  };
  /** Makes the driver of one storage. `scfg` is the section as PVE decoded it; throws `invalid`. */
  createDriver(scfg: Readonly<Record<string, unknown>>, environment: DriverEnvironment): Driver;
}
