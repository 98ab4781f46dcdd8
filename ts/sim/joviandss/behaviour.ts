// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";

const flag = (value: boolean) => z.boolean().default(value);
const milliseconds = z.number().int().min(0).default(0);

/**
 * What was never verified on an array, or what differs between releases: each a switch, changeable at any time with
 * `configure`. Defaults are our best reading. Durations are milliseconds.
 */
export const behaviourSchema = z.strictObject({
  /** Versions of the API that the firmware has; old firmware has only v3. */
  versions: z.array(z.enum(["v3", "v4"])).default(["v3", "v4"]),
  /** How a missing volume or snapshot is reported: `ZfsResourceError` with errno 1, or `ItemNotFoundError`. */
  errors: z.enum(["legacy", "modern"]).default("modern"),
  /** HTTP status of `ItemNotFoundError` for volumes and pools; targets always have 404. */
  notFoundStatus: z.union([z.literal(404), z.literal(500)]).default(404),
  /** `errno` as a number, as a string, or left out. */
  errno: z.enum(["number", "string", "absent"]).default("number"),
  /** Members `class`, `message` and `url` of errors that are left out. */
  errorWithout: z.array(z.enum(["class", "message", "url"])).default([]),
  /** Lists with pages, or as a bare array as v3 does when no page is asked for. */
  lists: z.enum(["paged", "array"]).default("paged"),
  /** Rows of snapshots: with `properties` (v4), or flat with a date string (v3). */
  snapshotRows: z.enum(["properties", "flat"]).default("properties"),
  /** `creation` in `properties`: seconds as a number or as a string. */
  epoch: z.enum(["number", "string"]).default("number"),
  /** Offset of the array's clock for date strings, in minutes. */
  timeZoneMinutes: z.number().int().min(-720).max(840).default(120),
  /** `creation` of a single snapshot is missing. */
  snapshotWithoutCreation: flag(false),
  /** Rows of a page when `per_page` is not given. */
  pageSize: z.number().int().min(1).default(100),
  /** `page` is ignored: every page is the first. */
  ignoresPage: flag(false),
  /** `results` in lists counts something else. */
  wrongResults: flag(false),
  /** The search for a LUN does not name its target. */
  lunWithoutTarget: flag(false),
  /** Class of the error for a taken target name. */
  targetConflict: z.enum(["base.iscsi", "base.iscsi.target"]).default("base.iscsi"),
  /** Class of the error for a volume whose snapshots have clones. */
  hasClones: z.enum(["zfs", "zfs.zfs"]).default("zfs.zfs"),
  /** A size that is no multiple of the block size. */
  unaligned: z.enum(["round-down", "reject", "accept"]).default("round-down"),
  /** Deleting an attached volume without `force_umount`: never seen. */
  deleteAttached: z.enum(["conflict", "busy", "config-clash", "orphan-lun"]).default("conflict"),
  /** Renaming an attached volume: never seen. */
  renameAttached: z.enum(["follow", "config-clash"]).default("config-clash"),
  /** The same target name in two pools: allowed and marked as conflicting, or refused. */
  sameTargetInPools: z.enum(["conflicted", "refuse"]).default("conflicted"),
  /** Firmware that knows `vip_allowed_portals`. */
  vipAllowedPortals: flag(true),
  /** Members of a body that are not known are refused. */
  strictBodies: flag(true),
  /** Percent-encoded paths and searches are refused: they were never tried. */
  rawUrls: flag(true),
  largestLun: z.number().int().min(0).default(16_383),
  /** Longest CHAP password. */
  chapMax: z.number().int().min(12).default(255),
  /** What changes answer with when it is not said exactly: 200 with an envelope, or 204 without a body. */
  changed: z.union([z.literal(200), z.literal(204)]).default(204),
  created: z.union([z.literal(200), z.literal(201)]).default(201),
  targetCreated: z.union([z.literal(201), z.literal(202)]).default(201),
  /** A target that answers 202 comes so much later. */
  targetCreateMs: milliseconds,
  /** So many requests delete a target; those before the last succeed without effect. */
  targetDeleteCalls: z.number().int().min(1).default(1),
  /** An edit of targets takes so long; one that comes meanwhile ends in `CfgParserError`. */
  targetEditMs: milliseconds,
  /** Such an edit is made all the same. */
  clashApplies: flag(false),
  /** Every answer takes this much longer. */
  replyMs: milliseconds,
  /** Lists do not have objects younger than this. */
  listLagMs: milliseconds,
  /** The new name can be asked for after this; lists have the old one until then. */
  renameLagMs: milliseconds,
  /** The new size is shown after this. */
  resizeLagMs: milliseconds,
  /** A new volume has no `san:volume_id` and `default_scsi_id` for so long, its LUN no `scsi_id`. */
  idLagMs: milliseconds,
  /** `real_path` of a new share comes, and a deleted one goes, so much later. */
  shareLagMs: milliseconds,
  /** What an address answers while its node does not own the pool. */
  standby: z.enum(["pool-missing", "refuse"]).default("refuse"),
});

/** The switches; see {@link behaviourSchema}. */
export type Behaviour = z.output<typeof behaviourSchema>;

/** Some switches, the others stay. */
export type BehaviourChange = z.input<typeof behaviourSchema>;
