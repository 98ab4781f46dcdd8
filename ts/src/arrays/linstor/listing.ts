// SPDX-License-Identifier: AGPL-3.0-or-later
import { blockDeviceSize } from "../../common/block-device.js";
import type { Context } from "../../common/context.js";
import { isSilence } from "../../common/errors.js";
import type { Bytes } from "../../common/size.js";
import type { Volume, VolumeRef } from "../contract.js";
import { localDevice } from "./device.js";
import { isDiskful, lookUp, refOf } from "./lookup.js";
import { keys, ownWords, sameName } from "./names.js";
import type { Session } from "./session.js";
import type { Definition, Resource } from "./shapes.js";

/** The volumes of this storage; temporary copies and what others keep on the server are none. */
export async function listVolumes(
  session: Session,
  ctx: Context,
  vmid: number | undefined,
): Promise<Volume[]> {
  const { definitions, resources } = session.client;
  const [all, rows] = await Promise.all([definitions.list(ctx), resources.view(ctx)]);
  const byName = new Map<string, Resource[]>();
  for (const row of rows) {
    const key = row.name.toLowerCase();
    byName.set(key, [...(byName.get(key) ?? []), row]);
  }
  return all.flatMap((definition) => {
    const ref = refOf(session, definition);
    if (ref === undefined || (vmid !== undefined && ref.vmid !== vmid)) return [];
    const parent = parentOf(session, definition, all);
    return [describe(ref, definition, byName.get(definition.name.toLowerCase()) ?? [], parent)];
  });
}

/** Throws `absent` when LINSTOR says that there is none. */
export async function getVolume(
  session: Session,
  ctx: Context,
  ref: VolumeRef,
  how: { readonly probe?: boolean } = {},
): Promise<Volume> {
  const { definitions, resources } = session.client;
  const { definition } = await lookUp(session, ctx, ref, how);
  const [origin] = ownWords(definition.props, keys.parent, definition.name) ?? [];
  const [rows, parent] = await Promise.all([
    resources.view(ctx, definition.name, how),
    origin === undefined ? undefined : definitions.find(ctx, origin, how),
  ]);
  return describe(ref, definition, rows, parent && refOf(session, parent));
}

/**
 * The same; while no controller answers, the size of the device that is on this node. Without it PVE makes a guest's
 * cloud-init disk anew at each start, for which LINSTOR is needed.
 */
export async function sizeInfo(session: Session, ctx: Context, ref: VolumeRef): Promise<Volume> {
  const local = await localDevice(session, ref);
  try {
    if (local) ctx.unlessSilent?.();
    return await getVolume(session, ctx, ref, local ? { probe: true } : {});
  } catch (error) {
    if (!local || !isSilence(error) || ctx.signal.aborted) throw error;
    const size = await blockDeviceSize(local.path);
    // A device that has found neither disk nor peer has none.
    if (size === undefined || size === 0n) throw error;
    ctx.log.warn("no controller answers; the size is that of the device", { volname: ref.volname, error });
    return { ref, size };
  }
}

function parentOf(
  session: Session,
  { name, props }: Definition,
  all: readonly Definition[],
): VolumeRef | undefined {
  const [origin] = ownWords(props, keys.parent, name) ?? [];
  const parent = origin === undefined ? undefined : all.find((one) => sameName(one.name, origin));
  return parent && refOf(session, parent);
}

function describe(
  ref: VolumeRef,
  definition: Definition,
  rows: readonly Resource[],
  parent: VolumeRef | undefined,
): Volume {
  const created = rows.flatMap((row) => (row.created === undefined ? [] : [row.created]));
  const used = rows
    .filter(isDiskful)
    .flatMap(({ allocated }) => (allocated === undefined ? [] : [allocated]))
    .sort((a, b) => Number(b - a))[0];
  return {
    ref,
    size: sizeOf(definition, rows),
    ...(used === undefined ? {} : { used }),
    ...(parent ? { parent: parent.volname } : {}),
    ...(created.length === 0 ? {} : { ctime: Math.floor(Math.min(...created) / 1000) }),
  };
}

/** The size that a guest sees: more than was asked for, unless that was to be exact. */
export function sizeOf({ sizes: [asked = 0n] }: Definition, rows: readonly Resource[]): Bytes {
  const told = [...rows.filter(isDiskful), ...rows].find(({ usable }) => usable !== undefined && usable > 0n);
  return told?.usable ?? asked;
}
