// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";
import type { Bytes } from "../../common/size.js";
import type { ObjectRecord } from "./encode.js";
import { gidOfName, isGid } from "./naming.js";

/** A volume or snapshot, as StorPool lists it. */
export interface StorpoolObject extends ObjectRecord {
  /** Global id of the snapshot it depends on, if that is unnamed as all of ours are. */
  readonly parentGid?: string;
  /** Name of the snapshot it depends on, whatever it is; empty when there is none. */
  readonly parentName: string;
  readonly template: string;
  readonly size: Bytes;
  /** Bytes occupied, where the list says so. */
  readonly stored?: Bytes;
  /** The volume that a snapshot was made of, as StorPool remembers it. */
  readonly onVolume?: string;
  /** Seconds since the epoch, 0 when unknown. */
  readonly ctime: number;
  readonly deleted: boolean;
  /** A helper that StorPool makes for itself while it copies. */
  readonly transient: boolean;
}

/** A client that has an object attached. */
export interface Attachment {
  /** Undefined for a named object of an old release. */
  readonly gid?: string;
  readonly name: string;
  readonly client: number;
  readonly rights: string;
}

/** Capacity of a template's place, in bytes. */
export interface TemplateStatus {
  readonly name: string;
  readonly capacity: Bytes;
  readonly free: Bytes;
}

/** State of the cluster and of its clients by client id: `running`, `down` and the like. */
export interface Services {
  readonly clusterStatus: string;
  readonly clients: ReadonlyMap<number, string>;
}

/** A number of bytes; JSON has it as a double. */
const bytes = z
  .number()
  .nonnegative()
  .transform((value): Bytes => BigInt(Math.trunc(value)));
/** Members that other releases leave out or set to `"-"`. */
const optionalBytes = bytes.optional().catch(undefined);
const gid = z.string().refine(isGid, "a global id");

/** What is no text is dropped: such an object is not one of ours. */
const tags = z
  .record(z.string(), z.unknown())
  .transform((map) =>
    Object.fromEntries(
      Object.entries(map).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
    ),
  )
  .catch({});

const objectRow = z.object({
  globalId: gid,
  name: z.string().catch(""),
  parentName: z.string().catch(""),
  templateName: z.string().catch(""),
  size: bytes,
  storedSize: optionalBytes,
  creationTimestamp: z.number().catch(0),
  onVolume: z.string().optional().catch(undefined),
  deleted: z.boolean().catch(false),
  transient: z.boolean().catch(false),
  tags,
});

/** Decodes a row. Its kind is that of the request: not all releases put it into the row. */
export function objectSchema(type: "volume" | "snapshot") {
  return objectRow.transform((row): StorpoolObject => {
    const parentGid = gidOfName(row.parentName);
    const onVolume = gidOfName(row.onVolume);
    return {
      type,
      gid: row.globalId,
      name: row.name,
      parentName: row.parentName,
      ...(parentGid === undefined ? {} : { parentGid }),
      ...(onVolume === undefined ? {} : { onVolume }),
      template: row.templateName,
      size: row.size,
      ...(row.storedSize === undefined ? {} : { stored: row.storedSize }),
      ctime: row.creationTimestamp,
      deleted: row.deleted,
      transient: row.transient,
      tags: row.tags,
    };
  });
}

/** A list whose rows are decoded one by one. */
export const rowsSchema = z.array(z.unknown());

/** Both lists in one; only the volumes are certain to be there. */
export const bothSchema = z.object({ volumes: rowsSchema, snapshots: rowsSchema.optional() });

/** One attachment. A row without client fails the whole list: guards must not overlook one. */
export const attachmentsSchema = z.array(
  z
    .object({
      volume: z.string().catch(""),
      globalId: gid.optional(),
      client: z.number().int(),
      rights: z.string(),
    })
    .transform(({ volume, globalId, client, rights }): Attachment => {
      const found = globalId ?? gidOfName(volume);
      return { ...(found === undefined ? {} : { gid: found }), name: volume, client, rights };
    }),
);

export const templateSchema = z.object({ name: z.string() });

/** One row; a template without the figures is left out by the caller. */
export const templateStatusSchema = z
  .object({ name: z.string(), stored: z.object({ capacity: bytes, free: bytes }) })
  .transform(({ name, stored }): TemplateStatus => ({ name, ...stored }));

export const servicesSchema = z
  .object({
    clusterStatus: z.string().catch("unknown"),
    clients: z
      .record(z.string(), z.object({ id: z.number().int().optional(), status: z.string() }))
      .catch({}),
  })
  .transform(
    ({ clusterStatus, clients }): Services => ({
      clusterStatus,
      clients: new Map(Object.entries(clients).map(([key, { id, status }]) => [id ?? Number(key), status])),
    }),
  );

/** Replies of creating commands; the global id is all that counts. */
export const createdSchema = z.object({ globalId: gid });
export const snapshotCreatedSchema = z.object({ snapshotGlobalId: gid });
export const groupCreatedSchema = z.object({
  snapshots: z.array(z.object({ volumeGlobalId: gid, snapshotGlobalId: gid })),
});

const clientConfig = z.object({ configStatus: z.string() });
/** An array of one, or the object itself. */
export const clientConfigSchema = z
  .union([z.tuple([clientConfig]), clientConfig])
  .transform((value) => (Array.isArray(value) ? value[0] : value).configStatus);
