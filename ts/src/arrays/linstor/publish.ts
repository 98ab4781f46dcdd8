// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import { fail, isSilence } from "../../common/errors.js";
import { waitUntil } from "../../common/wait.js";
import type { Connection, VolumeRef } from "../contract.js";
import { means } from "./answer.js";
import { connectionOf, localDevice } from "./device.js";
import { find, isDiskful, isTieBreaker, lookUp, ownRow } from "./lookup.js";
import { accessOf, forbid, permit } from "./migration.js";
import { isOn, keys } from "./names.js";
import { settleName } from "./records.js";
import type { Session } from "./session.js";
import type { Definition, Resource } from "./shapes.js";

/**
 * Makes a volume reachable on this node: as it is where there is a replica, else without a disk of its own. While no
 * controller answers, a device that is here already is used as it is.
 */
export async function publishVolume(session: Session, ctx: Context, ref: VolumeRef): Promise<Connection> {
  const local = await localDevice(session, ref);
  try {
    if (local) ctx.unlessSilent?.();
    const { definition } = await lookUp(session, ctx, ref, local ? { probe: true } : {});
    return await publish(session, ctx, ref, definition, local !== undefined);
  } catch (error) {
    if (!local || !isSilence(error) || ctx.signal.aborted) throw error;
    ctx.log.warn("no controller answers; the device is here and is used as it is", {
      volname: ref.volname,
      error,
    });
    return local;
  }
}

async function publish(
  session: Session,
  ctx: Context,
  ref: VolumeRef,
  definition: Definition,
  probe: boolean,
): Promise<Connection> {
  const { resources } = session.client;
  const { name } = definition;
  let rows = await resources.view(ctx, name, probe ? { probe } : {});
  await settleName(session, ctx, ref.name, name);
  const access = await accessOf(session, ref, rows);
  const own = ownRow(session, rows);
  if (!own || isTieBreaker(own)) {
    requireNetwork(session, ref, definition, rows);
    await resources.makeAvailable(ctx, name, session.node, { diskful: false });
    rows = await resources.view(ctx, name);
  }
  if (access === "migration") await permit(session, ctx, definition, rows);
  else if (access === "alone") {
    await forbid(session, ctx, definition, rows);
    await tidy(session, ctx, definition);
  }
  return connectionOf(session, name, rows);
}

/** On a stack without DRBD LINSTOR would make a second copy, empty and for itself. */
function requireNetwork(
  { node }: Session,
  { volname }: VolumeRef,
  { layers }: Definition,
  rows: readonly Resource[],
): void {
  if (layers.length === 0 || layers.includes("DRBD") || layers.includes("NVME")) return;
  const places = rows.filter(isDiskful).map((row) => row.node);
  throw fail(
    "refused",
    `'${volname}' is not on node '${node}' but on ${places.join(", ") || "none"}, and has no DRBD to reach it by; ` +
      "migrate with its disk",
  );
}

/**
 * Takes away what the vendor's plugin leaves on for good: two nodes that may write at once; and an exact size where the
 * section does not ask for it.
 */
async function tidy({ client, section }: Session, ctx: Context, { name, props }: Definition): Promise<void> {
  const unset = [
    ...(isOn(props[keys.twoPrimaries]) ? [keys.twoPrimaries] : []),
    ...(isOn(props[keys.exactSize]) && !section.exactSize ? [keys.exactSize] : []),
  ];
  if (unset.length === 0) return;
  try {
    await client.definitions.setProperties(ctx, name, { unset });
  } catch (error) {
    ctx.log.warn("properties that are not wanted stay on", { definition: name, unset, error });
  }
}

/** Where a volume is on this node; changes nothing. Throws `absent`. */
export async function locateVolume(session: Session, ctx: Context, ref: VolumeRef): Promise<Connection> {
  const local = await localDevice(session, ref);
  const how = local ? { probe: true } : {};
  try {
    if (local) ctx.unlessSilent?.();
    const { definition } = await lookUp(session, ctx, ref, how);
    return connectionOf(
      session,
      definition.name,
      await session.client.resources.view(ctx, definition.name, how),
    );
  } catch (error) {
    if (local && isSilence(error) && !ctx.signal.aborted) return local;
    throw error;
  }
}

/**
 * Ends the use of a volume on this node. What LINSTOR has put here without a disk goes, but for the tie-breaker; a replica
 * stays. While no controller answers nothing is taken away: the next activation or deactivation does that.
 */
export async function unpublishVolume(session: Session, ctx: Context, ref: VolumeRef): Promise<boolean> {
  const { resources } = session.client;
  const local = await localDevice(session, ref);
  const how = local ? { probe: true } : {};
  try {
    if (local) ctx.unlessSilent?.();
    const found = await find(session, ctx, ref, how);
    if (!found) return true;
    const { definition } = found;
    const rows = await rowsOnceClosed(session, ctx, definition.name, how);
    await forbid(session, ctx, definition, rows);
    const own = ownRow(session, rows);
    if (!own || isDiskful(own) || isTieBreaker(own)) return own === undefined || !isDiskful(own);
    await resources.delete(ctx, definition.name, session.node).catch((error: unknown) => {
      if (!means(error, "absent")) throw error;
    });
    return true;
  } catch (error) {
    if (!local || !isSilence(error) || ctx.signal.aborted) throw error;
    ctx.log.warn("no controller answers; the volume stays on this node", { volname: ref.volname, error });
    return false;
  }
}

/**
 * The rows of a definition whose device was let go of here: LINSTOR hears of that a moment later, and keeps what it takes for in
 * use. What it does not hear in time is told as it is.
 */
async function rowsOnceClosed(
  session: Session,
  ctx: Context,
  definition: string,
  how: { readonly probe?: boolean },
): Promise<readonly Resource[]> {
  let rows: readonly Resource[] = [];
  const closed = async () => {
    rows = await session.client.resources.view(ctx, definition, how);
    return ownRow(session, rows)?.inUse !== true;
  };
  if (!(await waitUntil(closed, session.patience.closingMs, ctx.signal)))
    ctx.log.warn("LINSTOR takes a volume for in use here that nobody has open", { definition });
  return rows;
}
