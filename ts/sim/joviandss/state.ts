// SPDX-License-Identifier: AGPL-3.0-or-later

/** A volume or a snapshot as far as its data goes; `id` never changes and names its file. */
interface Content {
  readonly id: number;
  name: string;
  /** Bytes. */
  volsize: number;
  /** Bytes that it occupies: tests may set it. */
  written: number;
  /** Milliseconds since 1970. */
  readonly created: number;
  readonly createtxg: number;
  readonly guid: string;
}

/** A zvol. */
export interface Volume extends Content {
  readonly volblocksize: number;
  /** Thin: no reservation. */
  sparse: boolean;
  /** 40 hexadecimal digits; survives a rename. */
  readonly volumeId: string;
  /** The snapshot that a clone was made of. */
  origin: Snapshot | undefined;
  readonly properties: Map<string, string>;
  /** What is still shown of the time before a rename or a resize. */
  before: { name?: string; volsize?: number; until: number } | undefined;
}

/** A snapshot of a volume. */
export interface Snapshot extends Content {
  volume: Volume;
}

/** A file system for NFS. */
export interface Dataset {
  readonly name: string;
  quota: number;
  readonly guid: string;
  readonly created: number;
  /** `DATASET@SNAPSHOT` that a clone was made of. */
  readonly origin: string | undefined;
  readonly snapshots: Map<string, { readonly name: string; readonly guid: string; readonly created: number }>;
}

/** An NFS export. */
export interface Share {
  readonly name: string;
  readonly path: string;
  readonly nfs: unknown;
  /** Milliseconds since 1970. */
  readonly created: number;
  /** Deleted, and gone from then on. */
  goneAt: number | undefined;
}

/** An address of the pool, which moves with it. */
export interface Vip {
  readonly name: string;
  readonly address: string;
}

/** A volume on a target. */
export interface Lun {
  readonly lun: number;
  /** Stays when the volume is gone: such an entry is an orphan. */
  name: string;
  readonly volume: Volume;
  readonly mode: string;
  readonly scsiId: string | undefined;
  readonly blockSize: number;
  /** Exported with capacity 0, although everything else looks right. */
  empty: boolean;
  /** Counts changes of the data under the LUN. */
  revision: number;
}

/** A login of an initiator at one portal. */
export interface Session {
  readonly initiator: string;
  readonly ip: string;
  readonly sid: string;
  readonly cid: string;
}

/** An iSCSI target. */
export interface Target {
  readonly name: string;
  active: boolean;
  incomingUsersActive: boolean;
  portals: { enabled: boolean; assigned: readonly string[] };
  /** Name and password. */
  readonly users: Map<string, string>;
  readonly luns: Map<number, Lun>;
  sessions: Session[];
  /** Cannot be seen before. */
  readonly visibleAt: number;
  /** Requests to delete it that came so far. */
  deletes: number;
}

/** A ZFS pool. */
export interface Pool {
  readonly name: string;
  readonly id: string;
  readonly size: number;
  health: string;
  readonly vips: Vip[];
  readonly volumes: Map<string, Volume>;
  readonly snapshots: Set<Snapshot>;
  readonly datasets: Map<string, Dataset>;
  readonly targets: Map<string, Target>;
}

/** Everything the array remembers. */
export interface ArrayState {
  readonly pools: Map<string, Pool>;
  readonly shares: Map<string, Share>;
}

/** What is reserved for a thick volume: a gigabyte takes 1080033280 bytes. */
export function reservation(volsize: number): number {
  return volsize + Math.floor((volsize * 3) / 512);
}

/** Bytes of a pool that nothing occupies or reserves. */
export function available(pool: Pool): number {
  let used = 0;
  for (const { sparse, volsize, written } of pool.volumes.values())
    used += sparse ? written : Math.max(reservation(volsize), written);
  for (const { written } of pool.snapshots) used += written;
  return Math.max(0, pool.size - used);
}

export function snapshotsOf(pool: Pool, volume: Volume): Snapshot[] {
  return [...pool.snapshots].filter((snapshot) => snapshot.volume === volume);
}

export function clonesOf(pool: Pool, snapshot: Snapshot): Volume[] {
  return [...pool.volumes.values()].filter(({ origin }) => origin === snapshot);
}

/** Where a volume is attached, orphans included: they hold the device too. */
export function attachments(pool: Pool, volume: Volume): { target: Target; lun: Lun }[] {
  return [...pool.targets.values()].flatMap((target) =>
    [...target.luns.values()].filter((lun) => lun.volume === volume).map((lun) => ({ target, lun })),
  );
}
