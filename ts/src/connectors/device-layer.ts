// SPDX-License-Identifier: AGPL-3.0-or-later

/** Address of a SCSI device. The LUN is the kernel's number for it. */
export interface Hctl {
  readonly host: number;
  readonly channel: number;
  readonly target: number;
  readonly lun: number;
}

/** One way to a disk: `/dev/NAME`. */
export interface DevicePath {
  readonly name: string;
  readonly hctl: Hctl;
  /** Identity as udev and multipath have it; undefined when the kernel does not tell. */
  readonly wwid?: string;
  /** Bytes. */
  readonly size: bigint;
  /** `running`, `offline`, `blocked`, … */
  readonly state: string;
}

/** A session of this node with an iSCSI target. */
export interface IscsiSession {
  readonly id: number;
  readonly targetName: string;
  readonly host: number;
  readonly channel: number;
  readonly target: number;
  /** `LOGGED_IN`, `FAILED` or `FREE`. */
  readonly state: string;
  /** `address:port`, IPv6 in brackets: where the session was made, not where the target redirected it. */
  readonly portals: readonly string[];
  /** LUNs that are devices here. */
  readonly luns: readonly number[];
}

/** A port of an array that an FC host of this node sees. */
export interface FcTarget {
  readonly host: number;
  readonly channel: number;
  readonly target: number;
  /** `Online`, `Blocked`, … */
  readonly state: string;
}

/** A connection of this node with an NVMe subsystem. */
export interface NvmeController {
  readonly name: string;
  /** `live`, `connecting`, … */
  readonly state: string;
  /** `address:port`, IPv6 in brackets. */
  readonly portal: string;
}

/** A namespace under native multipath: `/dev/NAME` stands for all its paths. */
export interface NvmeNamespace {
  readonly name: string;
  /** Bytes. */
  readonly size: bigint;
}

/** What a wait for paths found. */
export interface FoundPaths {
  readonly there: readonly DevicePath[];
  readonly missing: readonly Hctl[];
  /** At the right address, but another disk. */
  readonly foreign: readonly DevicePath[];
}

/** A disk that a map is made of. */
export interface MapPath {
  readonly name: string;
  /** Missing where it is going, or no SCSI disk. */
  readonly hctl?: Hctl;
  readonly usable: boolean;
}

/** A multipath map: `/dev/NODE`, by name `/dev/mapper/NAME`. */
export interface MultipathMap {
  readonly name: string;
  readonly node: string;
  readonly wwid: string;
  readonly size: bigint;
  readonly paths: readonly MapPath[];
}

/** A promise that can be told to stop. */
export type Stoppable<T> = Promise<T> & { cancel(): void };

/**
 * What connectors ask of the Rust layer. Every call is bounded and on a thread of its own. Errors have our codes; `root`
 * is `/` except in tests.
 */
export interface DeviceLayer {
  /** All paths to a disk, each device of the node being asked. */
  devicePaths(root: string, wwid: string): Promise<DevicePath[]>;
  /** Those that a disk is used through: its map's, all where it has none. Asks no other device of a mapped disk. */
  usedPaths(root: string, wwid: string): Promise<DevicePath[]>;
  iscsiSessions(root: string, targetName: string): Promise<IscsiSession[]>;
  /** Where the port of that name (WWPN) is seen. */
  fcTargets(root: string, wwpn: string): Promise<FcTarget[]>;
  nvmeControllers(root: string, nqn: string): Promise<NvmeController[]>;
  /** Names of all disks of a subsystem that this node sees. */
  nvmeDisks(root: string, nqn: string): Promise<string[]>;
  nvmeNamespace(root: string, nqn: string, nguid: string): Promise<NvmeNamespace | undefined>;
  /** Makes a controller look for namespaces and their sizes. */
  nvmeRescan(root: string, controller: string, timeoutMs: number): Promise<void>;
  scanLun(root: string, hctl: Hctl, timeoutMs: number): Promise<void>;
  waitPaths(root: string, wwid: string, at: readonly Hctl[], timeoutMs: number): Stoppable<FoundPaths>;
  rescanPath(root: string, hctl: Hctl, wwid: string, timeoutMs: number): Promise<void>;
  deletePath(root: string, hctl: Hctl, wwid: string, timeoutMs: number): Promise<void>;
  /** Who uses a device, in words; empty when nobody does. Who only looks at it, as udev does, is waited for up to 3 s. */
  deviceUsers(root: string, name: string): Promise<string[]>;
  flushDevice(path: string, timeoutMs: number): Promise<void>;
  /** `off`: not running, or not wanted. `silent`: it does not answer. */
  multipathStatus(timeoutMs: number): Promise<"running" | "off" | "silent">;
  /** As the kernel has it: quick, multipathd is not asked, and nothing of other maps is looked at. */
  multipathMap(root: string, wwid: string): Promise<MultipathMap | undefined>;
  /**
   * Waits until the map has all `paths`, `wanted` of them usable; less is accepted when there is no more to expect. Without
   * map: multipathd does not run, or its configuration excludes the disk.
   */
  multipathEnsure(
    root: string,
    wwid: string,
    paths: readonly string[],
    wanted: number,
    timeoutMs: number,
  ): Stoppable<{ readonly map?: MultipathMap | undefined; readonly missing: readonly string[] }>;
  multipathResize(root: string, wwid: string, size: bigint, timeoutMs: number): Promise<void>;
  /** Throws `busy`, naming the users. */
  multipathRemove(root: string, wwid: string, timeoutMs: number): Promise<void>;
}
