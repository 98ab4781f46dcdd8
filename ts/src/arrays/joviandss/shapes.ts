// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";
import type { Bytes } from "../../common/size.js";
import { scsiIdOf } from "./targets.js";

/** Numbers are decimal text in property dumps, and numbers elsewhere. */
const decimal = z.union([z.string().regex(/^[0-9]{1,20}$/), z.number().int().nonnegative()]);
const bytes = decimal.transform((value): Bytes => BigInt(value));
/** Seconds since the epoch; dates, which are in the array's own time zone, count as unknown. */
const epoch = decimal.transform(Number).optional().catch(undefined);
/** A date of the array's own time, which is taken for this node's. */
const dated = z
  .string()
  .transform((text) => {
    const [, ...parts] = /^(\d{4})-(\d{1,2})-(\d{1,2}) (\d{1,2}):(\d{1,2}):(\d{1,2})$/.exec(text) ?? [];
    const [year = 0, month = 1, ...rest] = parts.map(Number);
    return parts.length === 0 ? undefined : Math.floor(new Date(year, month - 1, ...rest).getTime() / 1000);
  })
  .optional()
  .catch(undefined);
const word = z.string().min(1);
const optionalWord = word.optional().catch(undefined);

/** `undefined` members are left out. */
function compact<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const kept = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(kept) as { [K in keyof T]: Exclude<T[K], undefined> };
}

export const poolSchema = z.object({
  name: word,
  /** Without it the storage has no identity. */
  id: z.union([word, z.number().transform(String)]),
  size: bytes,
  available: bytes,
  health: z.string().catch("unknown"),
});
/** Capacity and identity of a pool. */
export type PoolState = z.output<typeof poolSchema>;

export const vipSchema = z.object({ name: word, address: word });
/** An address of the pool. */
export type Vip = z.output<typeof vipSchema>;

/** A zvol, as the array shows it. */
export interface JovianVolume {
  readonly name: string;
  readonly size: Bytes;
  readonly blockSize?: number;
  readonly used?: Bytes;
  readonly guid?: string;
  /** Order of creation in the pool. */
  readonly txg?: number;
  /** Seconds since the epoch. */
  readonly created?: number;
  /** The snapshot that a clone was made of. */
  readonly origin?: { readonly volume: string; readonly snapshot: string };
  /** Absent for a moment after the creation. */
  readonly scsiId?: string;
  readonly readOnly: boolean;
  readonly thin: boolean;
}

const origin = z
  .string()
  .transform((text) => {
    const [, volume, snapshot] = /^[^/]+\/([^@]+)@(.+)$/.exec(text) ?? [];
    return volume === undefined || snapshot === undefined ? undefined : { volume, snapshot };
  })
  .optional()
  .catch(undefined);

export const volumeSchema = z
  .object({
    name: word,
    volsize: bytes,
    volblocksize: decimal.transform(Number).optional().catch(undefined),
    used: bytes.optional().catch(undefined),
    guid: optionalWord,
    createtxg: epoch,
    creation: epoch,
    origin,
    "san:volume_id": optionalWord,
    default_scsi_id: optionalWord,
    readonly: z.string().catch("off"),
    refreservation: decimal.transform(Number).catch(0),
  })
  .transform((row) =>
    compact({
      name: row.name,
      size: row.volsize,
      blockSize: row.volblocksize,
      used: row.used,
      guid: row.guid,
      txg: row.createtxg,
      created: row.creation,
      origin: row.origin,
      scsiId: scsiIdOf({ default_scsi_id: row.default_scsi_id, volumeId: row["san:volume_id"] }),
      readOnly: row.readonly === "on",
      thin: row.refreservation === 0,
    }),
  );

/** A snapshot of a zvol; what is missing in lists is in the snapshot itself. */
export interface JovianSnapshot {
  readonly name: string;
  readonly guid?: string;
  readonly created?: number;
  /** The same by the array's clock face, where it tells no more: good for showing only. */
  readonly shown?: number;
  readonly txg?: number;
  readonly size?: Bytes;
  /** Names of the zvols that were cloned from it, where it says so. */
  readonly clones?: readonly string[];
}

const snapshotMembers = z.object({
  guid: optionalWord,
  creation: z
    .unknown()
    .transform((value) => ({ created: epoch.parse(value), shown: dated.parse(value) }))
    .optional(),
  createtxg: epoch,
  volsize: bytes.optional().catch(undefined),
  clones: z.string().optional().catch(undefined),
});

/** Two forms: what counts is in `properties`, or beside the name. */
export const snapshotSchema = z
  .object({ name: word, properties: snapshotMembers.optional().catch(undefined) })
  .and(snapshotMembers)
  .transform(({ properties, ...row }) => {
    const { guid, creation, createtxg, volsize, clones } = { ...row, ...properties };
    const names = clones
      ?.split(",")
      .filter((name) => name !== "")
      .map((name) => name.slice(name.indexOf("/") + 1));
    return compact({ name: row.name, guid, ...creation, txg: createtxg, size: volsize, clones: names });
  });

/** A snapshot that was asked for by its name, which the answer may leave out. */
export function namedSnapshotSchema(name: string) {
  return z.preprocess(
    (row) => (typeof row === "object" && row !== null ? { ...row, name } : row),
    snapshotSchema,
  );
}

/** Where a snapshot is. */
export const snapshotNameSchema = z.object({ volume: word, name: word });

export const cloneSchema = z.object({ name: word }).transform(({ name }) => name);

export const rollbackSchema = z.object({
  snapshots: decimal.transform(Number),
  clones: decimal.transform(Number),
});

export const targetSchema = z
  .object({
    name: word,
    active: z.boolean().catch(true),
    conflicted: z.boolean().catch(false),
    incoming_users_active: z.boolean().catch(false),
    vip_allowed_portals: z
      .object({ enabled: z.boolean(), assigned_vips: z.array(z.string()).catch([]) })
      .nullish()
      .catch(undefined),
  })
  .transform((row) => ({
    name: row.name,
    active: row.active,
    conflicted: row.conflicted,
    chap: row.incoming_users_active,
    /** VIPs at which initiators may log in; undefined for all. */
    vips: row.vip_allowed_portals?.enabled ? row.vip_allowed_portals.assigned_vips : undefined,
  }));
export type JovianTarget = z.output<typeof targetSchema>;

const lunMembers = z.object({
  name: word,
  lun: decimal.transform(Number),
  scsi_id: optionalWord,
});

export const lunSchema = lunMembers.transform(({ name, lun, scsi_id }) =>
  compact({ volume: name, lun, scsiId: scsi_id }),
);
/** A volume on a target. */
export interface JovianLun {
  readonly volume: string;
  readonly lun: number;
  readonly scsiId?: string;
}

/** Where a volume is attached; a row without pool or LUN fails the search, because guards rest on it. */
export const attachmentSchema = z
  .object({ pool: word, iscsi_target: z.object({ name: word }).nullish(), lun: lunMembers })
  .transform(({ pool, iscsi_target, lun }) =>
    compact({ pool, target: iscsi_target?.name, lun: lun.lun, scsiId: lun.scsi_id }),
  );
export type LunAttachment = z.output<typeof attachmentSchema>;

export const userSchema = z.object({ name: word }).transform(({ name }) => name);

export const sessionSchema = z
  .object({ initiator_name: word, ip: z.string().catch(""), sid: z.string().catch("") })
  .transform(({ initiator_name, ip, sid }) => ({ initiator: initiator_name, ip, sid }));
/** An initiator that is logged in. */
export type TargetSession = z.output<typeof sessionSchema>;
