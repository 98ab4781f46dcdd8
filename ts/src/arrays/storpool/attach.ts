// SPDX-License-Identifier: AGPL-3.0-or-later
import { setTimeout as sleep } from "node:timers/promises";
import type { Context } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import { ArrayError } from "./answer.js";
import type { Reassign } from "./client.js";
import type { Found } from "./objects.js";
import type { StorpoolObject } from "./schemas.js";
import type { Session } from "./session.js";
import { takeover } from "./takeover.js";

/** Seconds that StorPool may take until the client has the device. */
const attachTimeout = 30;
/** A device that is just being closed: how often and how long to wait, in milliseconds. */
const closing = { times: 25, pauseMs: 200 };
/** The same for what others of this node may have open for good. */
const shared = { times: 5, pauseMs: 200 };

/** Attaches a volume that nobody else can know of yet. */
export async function attachNew({ client, config }: Session, ctx: Context, gid: string): Promise<void> {
  await client.reassignWait(ctx, [{ volume: gid, rw: [config.ourId] }], attachTimeout);
}

/** Attaches a snapshot for reading. */
export async function attachSnapshot(session: Session, ctx: Context, gid: string): Promise<void> {
  const { client, config } = session;
  const mine = (await client.attachments(ctx)).some((row) => row.gid === gid && row.client === config.ourId);
  if (mine) return;
  await client.reassignWait(ctx, [{ snapshot: gid, ro: [config.ourId] }], attachTimeout);
}

/** Attaches a volume for reading and writing, by the rules of {@link takeover}. */
export async function attachVolume(session: Session, ctx: Context, found: Found): Promise<void> {
  const { client, config, cluster, node } = session;
  const { gid } = found.ref;
  const rows = (await client.attachments(ctx)).filter((row) => row.gid === gid);
  const mine = rows.find((row) => row.client === config.ourId);
  const others = rows.filter((row) => row.client !== config.ourId);
  const guest = "vmid" in found.ref ? await cluster.guest(found.ref.vmid) : undefined;
  const states = others.length > 0 ? (await client.services(ctx)).clients : new Map<number, string>();
  const decision = takeover(
    `'${found.name}'`,
    node,
    guest,
    // What StorPool does not know to be down may be doing I/O.
    others.map((row) => ({ client: row.client, running: states.get(row.client) !== "down" })),
  );
  const { running, force, down } = decision;
  if (mine?.rights === "rw" && running.length + down.length === 0) return;
  const attach = { volume: gid, rw: [config.ourId] };
  if (running.length > 0) {
    // First, because only these can say no: then nothing has changed.
    const entry: Reassign = { ...attach, detach: running, ...(force ? { force } : {}) };
    await client.reassignWait(ctx, [entry], attachTimeout);
  }
  if (down.length > 0) {
    // StorPool would wait for those that lose something too, and a client that is down never answers.
    await client.reassignWait(ctx, [{ ...attach, detach: down, force: true }], 0);
  }
  if (running.length === 0 || down.length > 0) await client.reassignWait(ctx, [attach], attachTimeout);
}

/**
 * Ends the use of a volume on this node. False when it stays attached: an image that somebody here has open, or, rw, with
 * the switch for Veeam, a volume as long as its guest belongs here. Throws `busy` while any other is open here.
 */
export async function deactivate(session: Session, ctx: Context, found: Found): Promise<boolean> {
  const { client, config, cluster, node } = session;
  const { ref, object } = found;
  if (ref.kind === "img" || ref.kind === "iso") return release(session, ctx, object);
  const keeps = config.veeamCompat && object.type === "volume" && "vmid" in ref;
  if (!keeps || (await cluster.guest(ref.vmid))?.node !== node) {
    await detach(session, ctx, object);
    return true;
  }
  const mine = (await client.attachments(ctx)).find(
    (row) => row.gid === ref.gid && row.client === config.ourId,
  );
  if (mine?.rights === "ro") {
    await client.reassignWait(ctx, [{ volume: ref.gid, rw: [config.ourId] }], attachTimeout);
  }
  return mine === undefined;
}

/** Guests share images: the last one to close it detaches it. */
async function release(session: Session, ctx: Context, object: StorpoolObject): Promise<boolean> {
  try {
    await detach(session, ctx, object, session.pace.closing ?? shared);
    return true;
  } catch (error) {
    if (error instanceof ArrayError && error.open) return false;
    throw error;
  }
}

/** Detaches an object from this node; from no other. Throws `busy` while it is open here. */
export async function detach(
  session: Session,
  ctx: Context,
  object: StorpoolObject,
  { times, pauseMs } = session.pace.closing ?? closing,
): Promise<void> {
  const { client, config } = session;
  const { gid } = object;
  const rows = await client.attachments(ctx);
  if (!rows.some((row) => row.gid === gid && row.client === config.ourId)) return;
  const what = object.type === "volume" ? { volume: gid } : { snapshot: gid };
  for (let round = 1; ; round++) {
    try {
      await client.reassignWait(ctx, [{ ...what, detach: [config.ourId] }], attachTimeout);
      return;
    } catch (error) {
      if (!(error instanceof ArrayError) || !error.open || round >= times) throw error;
      await sleep(pauseMs, undefined, { signal: ctx.signal });
    }
  }
}

/**
 * Detaches an object from every node before it goes or changes. A client that is down loses it by force, it does no I/O
 * and is not waited for; a running one only when it has it not open. Throws `busy`.
 */
export async function detachAll(session: Session, ctx: Context, object: StorpoolObject): Promise<void> {
  const { client, config } = session;
  const { gid } = object;
  const others = (await client.attachments(ctx)).filter(
    (row) => row.gid === gid && row.client !== config.ourId,
  );
  await detach(session, ctx, object);
  if (others.length === 0) return;
  const what = object.type === "volume" ? { volume: gid } : { snapshot: gid };
  const states = (await client.services(ctx)).clients;
  const ids = (down: boolean) =>
    others.map((row) => row.client).filter((id) => (states.get(id) === "down") === down);
  const running = ids(false);
  const down = ids(true);
  if (running.length > 0) {
    try {
      await client.reassignWait(ctx, [{ ...what, detach: running }], attachTimeout);
    } catch (error) {
      if (!(error instanceof ArrayError) || !error.open) throw error;
      throw fail(
        "busy",
        `${object.type} ${gid} is in use at client ${running.join(", ")}; stop its guest there`,
      );
    }
  }
  if (down.length > 0) await client.reassignWait(ctx, [{ ...what, detach: down, force: true }], 0);
}
