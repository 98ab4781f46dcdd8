// SPDX-License-Identifier: AGPL-3.0-or-later
import { setTimeout as sleep } from "node:timers/promises";
import { type Context, steady } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import type { Bytes } from "../../common/size.js";
import type { VolumeRef } from "../contract.js";
import { wholeSize } from "./allocation.js";
import { means } from "./answer.js";
import { nameProperty } from "./creation.js";
import { claimant, type Found, find, isUnfinished, lookUp, snapshotsOf } from "./lookup.js";
import { baseSnapshot, isOn, keys, plainName, sameName } from "./names.js";
import { forgetName, recordName } from "./records.js";
import type { Session } from "./session.js";
import type { Definition } from "./shapes.js";
import { takeSnapshot } from "./take.js";
import { requireUnusedElsewhere } from "./use.js";

/** Grows a volume. */
export async function resizeVolume(
  session: Session,
  ctx: Context,
  ref: VolumeRef,
  size: Bytes,
): Promise<void> {
  const { definitions } = session.client;
  const { definition } = await lookUp(session, ctx, ref);
  const { name, props, sizes } = definition;
  // What was asked for: the pools round that up, and what they have added is not to be had once more.
  const [before = 0n] = sizes;
  const whole = wholeSize(size);
  if (whole < before)
    throw fail("invalid", `${size} bytes are less than the ${before} that it has; a volume only grows`);
  if (whole === before) return;
  // LINSTOR refuses it while the size is kept exact.
  const exact = isOn(props[keys.exactSize]);
  if (exact) await definitions.setProperties(ctx, name, { unset: [keys.exactSize] });
  const end = performance.now() + session.patience.syncMs;
  for (;;) {
    try {
      await definitions.resize(ctx, name, whole);
      return;
    } catch (error) {
      // Replicas of a new volume, or of one that was grown before, may still be catching up.
      if (!means(error, "not-synced") || performance.now() >= end) throw error;
      await sleep(500, undefined, { signal: ctx.signal });
    }
  }
}

/** Gives a volume without snapshots to another guest or another name. The definition keeps its own. */
export async function renameVolume(
  session: Session,
  ctx: Context,
  from: VolumeRef,
  to: VolumeRef,
): Promise<VolumeRef> {
  const found = (await find(session, ctx, from)) ?? (await handedOver(session, ctx, from, to));
  if (!found) throw fail("absent", `volume '${from.volname}' does not exist; look it up with pvesm list`);
  const target = vendorName(session, found.definition, to) ?? to;
  if (found.ref.name === target.name) return target;
  const snapshots = (await snapshotsOf(session, ctx, found)).map(({ snapshot }) => snapshot);
  if (snapshots.length > 0)
    throw fail(
      "refused",
      `volume '${from.volname}' has snapshots (${snapshots.join(", ")}); delete them first`,
    );
  await requireUnusedElsewhere(session, ctx, found.definition.name, `rename '${from.volname}'`);
  await move(session, steady(ctx), found, target);
  return target;
}

/** A definition of the vendor's kind that an earlier attempt has given to the guest already. */
async function handedOver(
  session: Session,
  ctx: Context,
  from: VolumeRef,
  to: VolumeRef,
): Promise<Found | undefined> {
  const plain = /^pm-[0-9a-f]{8}_/.test(from.name) ? plainName(from.name) : undefined;
  if (plain === undefined) return undefined;
  const ref = session.parse(`${plain}_${to.vmid}`);
  return find(session, ctx, ref);
}

/**
 * What the vendor's plugin calls a volume of its kind: the owner is a part of the name, a number is not. A name that is no
 * number is kept as it is.
 */
function vendorName(session: Session, { name }: Definition, to: VolumeRef): VolumeRef | undefined {
  if (!/^pm-[0-9a-f]{8}$/.test(name) || !/^vm-[0-9]+-disk-[0-9]+$|^pm-/.test(to.name)) return undefined;
  const vendor = session.parse(`${name}_${to.vmid}`);
  if (to.name.startsWith("pm-") && to.name !== vendor.name)
    throw fail(
      "invalid",
      `volume '${vendor.name}' cannot be called '${to.name}': the first part is LINSTOR's`,
    );
  return vendor;
}

async function requireFree(session: Session, ctx: Context, to: VolumeRef): Promise<void> {
  if (await find(session, ctx, to, { unfinished: true }))
    throw fail("exists", `volume '${to.volname}' already exists; choose another name`);
}

/** Changes the name that a definition's volume has in PVE; `exists` when another one has it. */
async function move(
  session: Session,
  ctx: Context,
  { ref, definition }: Found,
  to: VolumeRef,
): Promise<void> {
  const { definitions } = session.client;
  await requireFree(session, ctx, to);
  const { name } = definition;
  if (plainName(to.name) !== name) await recordName(session, to.name, name);
  // While no controller answers, nobody may take the definition for the volume of its name.
  if (plainName(ref.name) === name) await recordName(session, ref.name, "-");
  const calm = steady(ctx);
  await definitions.setProperties(calm, name, owned(definition, to));
  // Another node may have made a volume of this name meanwhile.
  const plain = plainName(to.name);
  const rival =
    plain === undefined || sameName(plain, name) ? undefined : await definitions.find(calm, plain);
  const other =
    (rival && claimant(session, rival)?.name === to.name) ||
    (await definitions.named(calm)).some(
      (one) => !sameName(one.name, name) && !isUnfinished(one) && claimant(session, one)?.name === to.name,
    );
  if (other) {
    await definitions.setProperties(calm, name, owned(definition, ref));
    await restoreRecords(session, ref, to, name);
    throw fail("exists", `volume '${to.volname}' was made meanwhile; choose another name`);
  }
  if (plainName(ref.name) !== name) await forgetName(session, ref.name, name);
  if (plain === name) await forgetName(session, to.name, "-");
}

async function restoreRecords(session: Session, ref: VolumeRef, to: VolumeRef, name: string): Promise<void> {
  await forgetName(session, to.name, name);
  if (plainName(ref.name) === name) await forgetName(session, ref.name, "-");
}

/** The properties by which a definition is this volume. */
function owned({ name }: Definition, ref: VolumeRef) {
  const vendor = /^pm-[0-9a-f]{8}$/.test(name);
  const set = {
    ...nameProperty(name, ref),
    ...(vendor ? { [keys.vmid]: String(ref.vmid) } : {}),
  };
  return { set, unset: keys.name in set ? [] : [keys.name] };
}

/**
 * A base is a volume with another name and a snapshot that its clones are made of. Repeated after an interruption it goes
 * on; where pools cannot take snapshots there are full clones only.
 */
export async function makeBase(
  session: Session,
  ctx: Context,
  from: VolumeRef,
  to: VolumeRef,
): Promise<VolumeRef> {
  const { snapshots } = session.client;
  const found = await find(session, ctx, from);
  if (!found) {
    if (await find(session, ctx, to)) return to;
    throw fail("absent", `volume '${from.volname}' does not exist; look it up with pvesm list`);
  }
  const { name } = found.definition;
  await requireFree(session, ctx, to);
  await requireUnusedElsewhere(session, ctx, name, `make a base of '${from.volname}'`);
  // Of an attempt that was given up: the volume may have been written to since.
  await snapshots.delete(ctx, name, baseSnapshot);
  try {
    await takeSnapshot(session, ctx, name, [{ definition: name, name: baseSnapshot, props: {} }]);
  } catch (error) {
    if (!means(error, "unsupported")) throw error;
    ctx.log.info("a base without snapshot: it has no linked clones", { definition: name });
  }
  await move(session, steady(ctx), found, to);
  return to;
}
