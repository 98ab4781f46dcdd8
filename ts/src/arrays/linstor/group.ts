// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import type { PreparedSnapshot } from "../guest-config.js";
import { LinstorError } from "./answer.js";
import { type Found, isGoing, refOf } from "./lookup.js";
import { keys, ownWords, snapshotName } from "./names.js";
import type { Session } from "./session.js";
import type { LinstorSnapshot } from "./shapes.js";
import type { NewSnapshot } from "./snapshot-requests.js";
import { newSnapshot, takeSnapshot } from "./take.js";

/*
 * PVE asks for the snapshots of a guest's disks one by one, while its configuration already says which ones. So the first
 * call takes all of them at one instant. Those of the other disks wait, marked with the time of PVE's attempt, until PVE
 * asks for them; what waits is no snapshot for anybody else.
 */

/** Makes the snapshot that waits for this call one of PVE's. False when there is none. */
export async function adopt(
  session: Session,
  ctx: Context,
  definition: string,
  snapshots: readonly LinstorSnapshot[],
  prepared: PreparedSnapshot | undefined,
): Promise<boolean> {
  const waiting = snapshots.find(
    ({ props }) => prepared && ownWords(props, keys.group, definition)?.[0] === String(prepared.time),
  );
  if (!waiting) return false;
  await release(session, ctx, waiting);
  return true;
}

/**
 * Takes the snapshots of all disks of the guest on this storage at one instant. False when there is nothing to take
 * together, or LINSTOR refuses: then each is taken in its turn.
 */
export async function takeTogether(
  session: Session,
  ctx: Context,
  found: Found,
  snapshot: string,
  { time, volids }: PreparedSnapshot,
  others: readonly LinstorSnapshot[],
): Promise<boolean> {
  const { definitions, snapshots } = session.client;
  const wanted = new Set(volids);
  const disks = (await definitions.list(ctx)).filter((definition) => {
    const ref = refOf(session, definition);
    return ref !== undefined && wanted.has(`${session.storeid}:${ref.volname}`);
  });
  if (disks.length < 2 || !disks.some(({ name }) => name === found.definition.name)) return false;
  const list: NewSnapshot[] = [];
  for (const { name } of disks) {
    const own = name === found.definition.name;
    const known = own ? others : await snapshots.list(ctx, name);
    // PVE's turn for this one came already, or something is in the way: it says so when it comes.
    const same = (row: LinstorSnapshot) =>
      !isGoing(row) && snapshotName(name, row.name, row.props) === snapshot;
    if (!own && known.some(same)) continue;
    const made = newSnapshot(name, snapshot, known);
    list.push({ ...made, props: { ...made.props, [keys.group]: `${name} ${time}` } });
  }
  const [first, ...rest] = list;
  if (!first || rest.length === 0) return false;
  try {
    await takeSnapshot(session, ctx, found.ref.volname, [first, ...rest]);
  } catch (error) {
    if (!(error instanceof LinstorError) || error.condition === "auth" || error.afterLost) throw error;
    ctx.log.warn("LINSTOR takes no snapshots together, taking one by one", { error });
    return false;
  }
  const mine = list.find(({ definition }) => definition === found.definition.name);
  if (mine) await release(session, ctx, mine);
  return mine !== undefined;
}

/** From here on it is one of PVE's. */
async function release(
  { client }: Session,
  ctx: Context,
  { definition, name }: { readonly definition: string; readonly name: string },
): Promise<void> {
  await client.snapshots.setProperties(ctx, { definition, name }, { unset: [keys.group] });
}
