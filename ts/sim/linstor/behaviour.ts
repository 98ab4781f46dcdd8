// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";

const flag = (value: boolean) => z.boolean().default(value);
const milliseconds = z.number().int().min(0).default(0);

/**
 * What was inferred, what depends on the server's version, and what takes time: each a switch, changeable at any time
 * with `configure`. Durations are milliseconds.
 */
export const behaviourSchema = z.strictObject({
  /** Version of the controller: rollback (1.31, 1.32), diskless clients without a vote (1.34). */
  version: z
    .string()
    .regex(/^[0-9]+\.[0-9]+(\.[0-9]+)?$/)
    .default("1.34.0"),
  /** What `/health` says. */
  health: z.enum(["ok", "failing"]).default("ok"),
  /** What counts as in use: any open, or only one that can write. */
  inUse: z.enum(["open", "write"]).default("open"),
  /** Stacks without DRBD report `in_use` too. Inferred: they do not. */
  storageInUse: flag(false),
  /** What was closed counts as in use for so much longer: the satellite hears of it, and tells the controller. */
  inUseDelayMs: milliseconds,
  /** Making something available at an offline node: success with a warning (since 1.27), or 995. */
  availableOffline: z.enum(["warning", "error"]).default("warning"),
  /** Storage pools of size-info and placement share a limit: free space times this (thin pools only). */
  oversubscription: z.number().min(1).default(20),
  /** Part of a thin volume that takes space in its pool. */
  thinFill: z.number().min(0).max(1).default(0.25),
  /** Block size of ZFS in KiB: 8 in old releases. */
  zfsBlockKib: z.union([z.literal(8), z.literal(16)]).default(16),
  /** File pools can take snapshots: their file system shares blocks. */
  fileSnapshots: flag(true),
  /** Rollback of ZFS stacks when the request says nothing (since 1.32). */
  zfsRollbackStrategy: z.enum(["rollback", "clone", "dynamic"]).default("dynamic"),
  /** A restore into another definition overwrites its properties with those of the snapshot. */
  restoreCopiesProperties: flag(true),
  /** The clone request knows `override_props` (since 1.32). */
  cloneProperties: flag(true),
  /** Members of a body that are not documented are refused. */
  strictBodies: flag(true),
  /** A second diskful replica has all data at once; otherwise after `syncMs`. */
  syncMs: milliseconds,
  /** Every mutation takes so much longer, with its effect at the end. */
  mutationMs: milliseconds,
  /** Every answer takes so much longer. */
  replyMs: milliseconds,
  /** A rollback takes so long; its safety snapshot can be seen meanwhile. */
  rollbackMs: milliseconds,
  /** A clone takes so long. */
  cloneMs: milliseconds,
  /** So much time passes at least between two looks for nodes that write without permission. */
  lookMs: milliseconds,
  /** The link below `by-res` appears so long after the answer. */
  linkDelayMs: milliseconds,
  /** Devices of a resource that grew have their new size so much later. */
  growDelayMs: milliseconds,
});

/** The switches; see {@link behaviourSchema}. */
export type Behaviour = z.output<typeof behaviourSchema>;

/** Some switches, the others stay. */
export type BehaviourChange = z.input<typeof behaviourSchema>;

/** Is the server at least of this version? */
export function since({ version }: Behaviour, wanted: string): boolean {
  const parts = (text: string) => text.split(".").map(Number);
  const [have, need] = [parts(version), parts(wanted)];
  for (let n = 0; n < need.length; n++) {
    const difference = (have[n] ?? 0) - (need[n] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}
