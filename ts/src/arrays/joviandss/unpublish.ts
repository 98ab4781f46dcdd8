// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import type { VolumeRef } from "../contract.js";
import { means } from "./answer.js";
import { othersAt } from "./guard.js";
import { exportObjectName, parseVolumeObject } from "./names.js";
import { idOf, objectOf, type Session } from "./session.js";
import { type Withdrawn, withdraw } from "./withdraw.js";

/**
 * Ends the export of a snapshot once no other node reads it: all share one clone, and those who are logged in at its target
 * are its readers.
 */
export async function unpublishSnapshot(
  session: Session,
  ctx: Context,
  ref: VolumeRef,
  snapshot: string,
): Promise<void> {
  const { volumes, targets } = session.client;
  const object = exportObjectName(idOf(session, ref), snapshot);
  if (!(await volumes.find(ctx, object))) return;
  for (const { target } of await targets.attachments(ctx, object)) {
    const others = target === undefined ? [] : await othersAt(session, ctx, target);
    if (others.length > 0) {
      ctx.log.info("a snapshot stays exported, others read it", { object, others });
      return;
    }
  }
  await dropExport(session, ctx, { object, vmid: ref.vmid }, `end the export of snapshot '${snapshot}'`);
}

/** Removes the clone that a snapshot is read by. Throws `busy` while another node does. */
export async function dropExport(
  session: Session,
  ctx: Context,
  clone: Withdrawn,
  what: string,
): Promise<void> {
  const { object } = clone;
  if (parseVolumeObject(object)?.kind !== "export")
    throw fail("internal", `'${object}' is no export of a snapshot`);
  await withdraw(session, ctx, clone, what);
  await session.client.volumes.delete(ctx, object, { recursive: true });
}

/**
 * Removes what keeps a snapshot and is only there to read it.
 *
 * @throws `busy`, naming the volumes that were made of it, or while another node reads it
 */
export async function requireNoClones(
  session: Session,
  ctx: Context,
  ref: VolumeRef,
  snapshots: readonly string[],
  what: string,
): Promise<void> {
  const volume = objectOf(session, ref);
  const kept: string[] = [];
  const exports: string[] = [];
  for (const snapshot of snapshots) {
    const clones = await session.client.snapshots.clones(ctx, volume, snapshot).catch((error: unknown) => {
      if (means(error, "absent")) return [];
      throw error;
    });
    for (const clone of clones) (parseVolumeObject(clone)?.kind === "export" ? exports : kept).push(clone);
  }
  if (kept.length > 0)
    throw fail("busy", `${what}: it is used by ${kept.map(shown).sort().join(", ")}; remove those first`);
  for (const clone of exports) await dropExport(session, ctx, { object: clone, vmid: ref.vmid }, what);
}

/** A volume by its id, as an admin knows it. */
function shown(object: string): string {
  return parseVolumeObject(object)?.id ?? object;
}
