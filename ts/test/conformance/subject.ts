// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Capabilities, Format, StorageType } from "../../src/arrays/contract.js";
import type { NodeDevices } from "../../src/plugin/storage.js";

/** A storage.cfg section as PVE decodes it. */
export type Section = Readonly<Record<string, unknown>>;

/** What a place may be unable to do; the questions that need it are skipped with the reason. */
export type Hook = "occupy" | "orphanSnapshot" | "hold" | "small" | "slow" | "readOnlyBase";

/** What the suite has to know of a driver that it cannot ask the driver itself. */
export interface Subject {
  /** Stands in front of every test's title. */
  readonly name: string;
  /** The storage type, as registered. */
  readonly type: string;
  /** Stands in for the registered type: the same, with a driver that waits less before it tries again. */
  readonly storageType?: StorageType;
  /** Why this machine cannot run the subject; undefined when it can. */
  readonly unavailable?: string | undefined;
  /** What the driver must say of itself, found out without the driver's help. */
  readonly capabilities: Capabilities;
  /** Hooks that this machine or this array does not have, each with the reason. */
  readonly lacks: Readonly<Partial<Record<Hook, string>>>;
  /** Sizes are rounded up to a multiple of this; 1 when they are kept exactly. */
  readonly sizeUnit: bigint;
  /** The size that a volume gets, in bytes, where it is not a multiple of {@link sizeUnit}; never less than was asked for. */
  rounded?(size: bigint): bigint;
  /** The largest volume worth asking for; a thin storage takes a tebibyte. */
  readonly largest: bigint;
  /** Sections that must be refused as `invalid`, by what is wrong with them; they are laid over the right one. */
  readonly malformed: Readonly<Record<string, Section>>;
  /** What PVE hands over when the section is added, besides the section. */
  readonly secrets?: Readonly<Record<string, string>>;
  /** Verbs that go on while the array is away, those of volumes with one that is active on the node. */
  readonly goOn?: readonly string[];
  /** Things of others that may lie around on the array, for {@link Place.plant}. */
  readonly foreign: readonly string[];
  /** Ways in which the array can be away, for {@link Place.outage}. */
  readonly outages: readonly string[];

  /** Whether the array has a place for volumes of that stem; all of them when absent. */
  takes?(stem: string): boolean;
  /** What `alloc_image` takes as a name, for a stem such as `vm-100-disk-0`. */
  fileName(stem: string, format: Format): string;
  /** The whole volume name of that stem; `base` for a linked clone on arrays whose names tell. */
  volname(vmid: number, stem: string, format: Format, base?: string): string;
  /**
   * Replaces all volume names in a text by what was asked for, on arrays that add something of their own. Questions
   * speak of those names; the session knows the whole ones.
   */
  plain?(text: string): string;
  /** Makes the array itself ready: a file system, a simulator. */
  open(): Promise<Site>;
}

/** An array that is ready, for all tests of one file. */
export interface Site {
  /** A new, empty storage that shares nothing with others. */
  place(): Promise<Place>;
  /** A new storage with room for about 16 MiB, which takes from that what a volume is promised. */
  small?(): Promise<Place>;
  close(): Promise<void>;
}

/** One storage, and the view behind the driver's back. */
export interface Place {
  readonly section: Section;
  /** What stands for the devices of a node, for arrays whose volumes the kernel would have to connect. */
  devices?(node: string): NodeDevices;
  /** The local path that PVE's side computes for a volume or snapshot without asking anybody. */
  path(volname: string, snap: string | null): string;
  /** Everything that is on the array for this storage, in the array's own terms, sorted. Never by the driver. */
  inventory(): Promise<string[]>;
  /** Puts one kind of the subject's foreign things beside the volumes of a guest; returns how to remove them. */
  plant(what: string, vmid: number): Promise<() => Promise<void>>;
  /** Takes the array away in one of the subject's ways. */
  outage(how: string): Promise<Outage>;
  /** Makes a volume name impossible to take although there is no volume of that name; returns how to undo it. */
  occupy?(volname: string): Promise<() => Promise<void>>;
  /** Leaves a snapshot behind for a volume that does not exist, as a crash in the middle of a deletion does. */
  orphanSnapshot?(volname: string, snap: string): Promise<void>;
  /** Uses a local path as a guest does, until the returned function is called. */
  hold?(path: string): Promise<() => Promise<void>>;
  /** Makes the array take `ms` milliseconds more for each request, until the returned function is called. */
  slow?(ms: number): Promise<() => void>;
  /** Removes the storage with all that is in it. */
  remove(): Promise<void>;
}

/** An array that is away. */
export interface Outage {
  /** The section while the array is away. */
  readonly section: Section;
  end(): Promise<void>;
}
