// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import { codeOf, fail } from "../../common/errors.js";
import type { VolumeRef } from "../contract.js";
import { keys, ownWords, plainName, sameName, snapshotName, volumeName } from "./names.js";
import type { Session } from "./session.js";
import type { Definition, LinstorSnapshot, Resource } from "./shapes.js";

/** A volume and the definition that it is. */
export interface Found {
  readonly ref: VolumeRef;
  readonly definition: Definition;
}

/** The volume that a definition is; undefined for what is not one of this storage, or not finished. */
export function refOf(session: Session, definition: Definition): VolumeRef | undefined {
  return isUnfinished(definition) ? undefined : claimant(session, definition);
}

/** The same, whether finished or not. */
export function claimant(session: Session, definition: Definition): VolumeRef | undefined {
  const { name, props, group, sizes, flags } = definition;
  if (!sameName(group, session.section.group) || flags.includes("DELETE") || sizes.length > 1)
    return undefined;
  const given = volumeName(name, props);
  if (given === undefined) return undefined;
  try {
    return session.parse(given);
  } catch (error) {
    if (codeOf(error) === "invalid") return undefined;
    throw error;
  }
}

/** Somebody is making it, or was cut off while doing so. */
export function isUnfinished({ name, props }: Definition): boolean {
  return ownWords(props, keys.request, name) !== undefined;
}

/** The volume; undefined when LINSTOR says that there is none. */
export async function find(
  session: Session,
  ctx: Context,
  ref: VolumeRef,
  how: { readonly probe?: boolean; readonly unfinished?: boolean } = {},
): Promise<Found | undefined> {
  const { definitions } = session.client;
  const whose = how.unfinished ? claimant : refOf;
  const isIt = (definition: Definition) => whose(session, definition)?.name === ref.name;
  const plain = plainName(ref.name);
  const probe = how.probe ? { probe: true } : {};
  const direct = plain === undefined ? undefined : await definitions.find(ctx, plain, probe);
  if (direct && isIt(direct)) return { ref, definition: direct };
  // Renamed, or with a name that LINSTOR cannot have.
  const named = (await definitions.named(ctx, probe)).find(isIt);
  return named && { ref, definition: named };
}

/** Throws `absent` when LINSTOR says that there is none. */
export async function lookUp(
  session: Session,
  ctx: Context,
  ref: VolumeRef,
  how: { readonly probe?: boolean } = {},
): Promise<Found> {
  const found = await find(session, ctx, ref, how);
  if (found) return found;
  throw fail("absent", `volume '${ref.volname}' does not exist; look it up with pvesm list`);
}

/** PVE's snapshots of a volume, oldest first. */
export async function snapshotsOf(
  session: Session,
  ctx: Context,
  { definition }: Found,
): Promise<(LinstorSnapshot & { readonly snapshot: string })[]> {
  const all = await session.client.snapshots.list(ctx, definition.name);
  return all.flatMap((row) => {
    const snapshot = pveName(definition.name, row);
    return snapshot === undefined || !isWhole(row) ? [] : [{ ...row, snapshot }];
  });
}

/** PVE's name of a snapshot; undefined for one that waits until PVE asks for it, and for those of others. */
export function pveName(definition: string, row: LinstorSnapshot): string | undefined {
  if (ownWords(row.props, keys.group, definition)) return undefined;
  return snapshotName(definition, row.name, row.props);
}

/** Taken on all nodes that it was meant for. */
export function isWhole({ flags }: LinstorSnapshot): boolean {
  return !flags.some((flag) => /^FAILED|^DELETE/.test(flag));
}

/** Deleted, and still there for a node that does not answer: its name is taken until that node is back. */
export function isGoing({ flags }: LinstorSnapshot): boolean {
  return flags.includes("DELETE");
}

/** Throws `absent`. */
export async function snapshotOf(
  session: Session,
  ctx: Context,
  found: Found,
  snapshot: string,
): Promise<LinstorSnapshot> {
  const row = (await snapshotsOf(session, ctx, found)).find((one) => one.snapshot === snapshot);
  if (row) return row;
  throw fail("absent", `snapshot '${snapshot}' of '${found.ref.volname}' does not exist`);
}

/** A replica, in contrast to a node that reaches those of others. */
export function isDiskful({ flags }: Resource): boolean {
  return !flags.some((flag) => ["DISKLESS", "DRBD_DISKLESS", "NVME_INITIATOR", "TIE_BREAKER"].includes(flag));
}

export function isTieBreaker({ flags }: Resource): boolean {
  return flags.includes("TIE_BREAKER");
}

/** On its way out. */
export function isLeaving({ flags }: Resource): boolean {
  return flags.some((flag) => flag === "DELETE" || flag === "DRBD_DELETE");
}

/** The row of this node; undefined when the volume is not there. */
export function ownRow(session: Session, rows: readonly Resource[]): Resource | undefined {
  return rows.find(({ node, ...row }) => sameName(node, session.node) && !isLeaving({ node, ...row }));
}
