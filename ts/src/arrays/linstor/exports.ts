// SPDX-License-Identifier: AGPL-3.0-or-later
import { randomUUID } from "node:crypto";
import { type Context, steady } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import type { Connection, VolumeRef } from "../contract.js";
import { means } from "./answer.js";
import { connectionOf } from "./device.js";
import { type Found, find, isUnfinished, lookUp, ownRow, snapshotOf } from "./lookup.js";
import { exportName, keys, ownWords, sameName } from "./names.js";
import { copiedProperties, layersOf, nodesOf, restoreInto } from "./restore.js";
import type { Session } from "./session.js";
import type { Definition, LinstorSnapshot } from "./shapes.js";

import { undo } from "./undo.js";
import { usersOf } from "./use.js";

/*
 * LINSTOR cannot read a snapshot: it is restored into a definition of its own, on one node, for the node that reads it. That
 * has a group of its own too, whose single replica nobody adds to.
 */

/** The resource group of temporary copies. */
export const exportGroup = "pve-blockio-exports";

/** Makes a snapshot readable on this node. */
export async function publishSnapshot(
  session: Session,
  ctx: Context,
  ref: VolumeRef,
  snapshot: string,
): Promise<Connection> {
  const { definitions, resources } = session.client;
  const found = await lookUp(session, ctx, ref);
  const origin = await snapshotOf(session, ctx, found, snapshot);
  const calm = steady(ctx, session.patience.copyMs);
  let { name, known } = await copyHere(session, calm, origin);
  if (known && isUnfinished(known)) {
    // What an attempt that was cut off has left may be incomplete.
    await definitions.delete(calm, name);
    ({ name, known } = await copyHere(session, calm, origin));
  }
  if (!known) await makeCopy(session, calm, found, origin, name);
  const rows = await resources.view(calm, name);
  if (!ownRow(session, rows)) await resources.makeAvailable(calm, name, session.node, { diskful: false });
  return connectionOf(session, name, await resources.view(calm, name));
}

/**
 * The copy of a snapshot for this node, or the name of one to come. What was deleted keeps its name until all of its nodes
 * have answered.
 */
async function copyHere(
  { client, node }: Session,
  ctx: Context,
  { definition, name: snapshot }: LinstorSnapshot,
): Promise<{ readonly name: string; readonly known: Definition | undefined }> {
  const all = await client.definitions.exported(ctx);
  const known = all.find(({ name, props, flags }) => {
    const [of = "", from = "", where = ""] = ownWords(props, keys.export, name) ?? [];
    const same = sameName(of, definition) && sameName(from, snapshot) && sameName(where, node);
    return same && !flags.includes("DELETE");
  });
  if (known) return { name: known.name, known };
  for (let number = 0; ; number++) {
    const name = exportName(definition, snapshot, node, number);
    if (!all.some((one) => sameName(one.name, name))) return { name, known };
  }
}

async function makeCopy(
  session: Session,
  ctx: Context,
  { ref, definition }: Found,
  origin: LinstorSnapshot,
  name: string,
): Promise<void> {
  const { client, host, node } = session;
  const { definitions } = client;
  const nodes = await nodesOf(session, ctx, origin);
  const here = nodes.find((one) => sameName(one, node));
  const layers = layersOf(definition);
  if (here === undefined && !layers.includes("DRBD"))
    throw fail(
      "refused",
      `read snapshot '${origin.name}' of '${ref.volname}': without DRBD it is only on ${nodes.join(", ")}`,
    );
  await client.ensureGroup(ctx, exportGroup);
  const mark = `${name} ${host} ${Math.floor(Date.now() / 1000)} ${randomUUID()}`;
  const props = {
    [keys.request]: mark,
    [keys.export]: `${name} ${definition.name} ${origin.name} ${node}`,
  };
  const isOurs = async (asker: Context) =>
    (await definitions.find(asker, name))?.props[keys.request] === mark;
  try {
    await definitions.create(ctx, name, { group: exportGroup, layers, props }, isOurs);
    await restoreInto(session, ctx, origin, name, [here ?? nodes[0] ?? node]);
    await definitions.setProperties(ctx, name, { unset: copiedProperties });
  } catch (error) {
    throw await undo(session, ctx, error, `a temporary copy of snapshot '${origin.name}'`, async (later) => {
      if (!(await isOurs(later))) return false;
      await definitions.delete(later, name);
      return true;
    });
  }
}

/** Where a snapshot is when it is readable on this node; changes nothing. Throws `absent`. */
export async function locateSnapshot(
  session: Session,
  ctx: Context,
  ref: VolumeRef,
  snapshot: string,
): Promise<Connection> {
  const found = await lookUp(session, ctx, ref);
  const origin = await snapshotOf(session, ctx, found, snapshot);
  const { name, known } = await copyHere(session, ctx, origin);
  if (!known)
    throw fail(
      "absent",
      `snapshot '${snapshot}' of '${ref.volname}' is not active on node '${session.node}'`,
    );
  return connectionOf(session, name, await session.client.resources.view(ctx, name));
}

/** Ends the use of a snapshot on this node. Throws `busy`. */
export async function unpublishSnapshot(
  session: Session,
  ctx: Context,
  ref: VolumeRef,
  snapshot: string,
): Promise<void> {
  const found = await find(session, ctx, ref);
  if (!found) return;
  const origin = await snapshotOf(session, ctx, found, snapshot).catch((error: unknown) => {
    if ((error as { code?: string }).code === "absent") return undefined;
    throw error;
  });
  if (!origin) return;
  const { known } = await copyHere(session, ctx, origin);
  if (known) await session.client.definitions.delete(ctx, known.name);
}

/**
 * Deletes what makes the snapshots of a definition, or one of them, readable: on every node, since the snapshot is to go.
 * What the vendor's plugin has left goes as well.
 *
 * @throws `busy` while somebody reads it
 */
export async function dropExports(
  session: Session,
  ctx: Context,
  all: readonly Definition[],
  of: { readonly definition: string; readonly snapshot?: string },
  what: string,
): Promise<void> {
  const { definitions, resources } = session.client;
  for (const one of all.filter((row) => isExportOf(row, of))) {
    const users = usersOf(await resources.view(ctx, one.name));
    if (users.length > 0)
      throw fail("busy", `${what}: a snapshot of it is read on node ${users.join(", ")}; stop that first`);
    try {
      await definitions.delete(ctx, one.name);
    } catch (error) {
      if (!means(error, "in-use")) throw error;
      throw fail("busy", `${what}: a snapshot of it is read (${one.name}); stop that first`, error);
    }
  }
}

function isExportOf(
  { name, props, group }: Definition,
  { definition, snapshot }: { readonly definition: string; readonly snapshot?: string },
): boolean {
  const words = ownWords(props, keys.export, name);
  if (words) {
    const [from = "", origin = ""] = words;
    return sameName(from, definition) && (snapshot === undefined || sameName(origin, snapshot));
  }
  // The vendor's copies are called as the snapshot, and are in no group of a storage.
  const vendor = sameName(group, "DfltRscGrp");
  if (!vendor) return false;
  return snapshot === undefined
    ? name.toLowerCase().startsWith(`snap_${definition}_`.toLowerCase())
    : sameName(name, snapshot);
}
