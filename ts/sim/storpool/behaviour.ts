// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";

const flag = (value: boolean) => z.boolean().default(value);
const milliseconds = (value: number) => z.number().int().min(0).default(value);

/**
 * What the vendor does not document, or what differs between releases: each a switch, changeable at any time with
 * `configure`. Defaults are our best reading. Durations are milliseconds.
 */
export const behaviourSchema = z.strictObject({
  /**
   * How errors travel: JSON with HTTP 200 (both vendor code bases' tests), JSON with another status, or another
   * status with text that is no JSON (a proxy).
   */
  errorTransport: z.enum(["ok-json", "status-json", "status-text"]).default("ok-json"),
  /** Rows of objects carry the boolean `snapshot`. */
  snapshotFlag: flag(true),
  /** Rows of `AttachmentsList` carry the object's tags. */
  attachmentTags: flag(false),
  /** Requests this release does not know, such as `VolumesAndSnapshotsList`. */
  missing: z.array(z.string()).default([]),
  /** `ClientConfigWait` answers an array; otherwise one object. */
  configWaitArray: flag(true),
  /** Setting a tag to "" removes it; otherwise it is stored as "". */
  emptyTagClears: flag(false),
  /** A snapshot starts with its volume's tags. */
  snapshotInheritsTags: flag(false),
  /** A volume from a parent or a base starts with that one's tags. */
  cloneInheritsTags: flag(false),
  /** A frozen volume keeps its global id. */
  freezeKeepsGlobalId: flag(true),
  /** A deleted snapshot can still be asked for by its global id. */
  deletedAddressable: flag(false),
  /** After this time a deleted snapshot is folded into its children; null: it stays until they are gone. */
  deletedFoldMs: z.number().int().min(0).nullable().default(null),
  /** What a wait for a missing client ends with when `attachTimeout` is over. */
  attachExpiry: z.enum(["error", "success"]).default("error"),
  /** `VolumesReassignWait` waits also for missing clients that only lose something. */
  waitForDetached: flag(true),
  /** `ClientConfigWait` for a missing client answers `down` at once, or waits for it. */
  downConfigWait: z.enum(["answer", "block"]).default("answer"),
  /** Old releases said `invalidParam` for "is open at". */
  openIsInvalidParam: flag(false),
  /** Every answer takes this much longer. */
  replyMs: milliseconds(0),
  /** A device link appears this long after the answer to the attach. */
  linkDelayMs: milliseconds(0),
  /** A device link vanishes this long after the answer to the detach. */
  unlinkDelayMs: milliseconds(0),
  /** A client takes a new configuration by itself after this time: device sizes, `VolumesReassign`. */
  syncDelayMs: milliseconds(200),
});

/** The switches; see {@link behaviourSchema}. */
export type Behaviour = z.output<typeof behaviourSchema>;

/** Some switches, the others stay. */
export type BehaviourChange = z.input<typeof behaviourSchema>;
