// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import { type BlockioError, codeOf, fail } from "../../common/errors.js";
import type { Unreadable } from "../../common/http/lost.js";
import type { Bytes } from "../../common/size.js";
import { ArrayError } from "./answer.js";
import type { Reassign, VolumeSource } from "./client.js";
import type { Queries, RawList } from "./queries.js";
import { objectSchema, type StorpoolObject, templateStatusSchema } from "./schemas.js";
import type { Tags } from "./tags.js";

// What became of a request whose answer cannot be read is asked in another way: by lists that are complete. Only what
// these prove is said; where they cannot be read either, the error stays that of the request, `unread`.

type Kind = StorpoolObject["type"];

/** The object. Throws `absent` when the list of all objects of its kind lacks it. */
export async function lookUpInList(
  queries: Queries,
  ctx: Context,
  type: Kind,
  gid: string,
  unread: Unreadable,
): Promise<StorpoolObject> {
  const object = await find(queries, ctx, type, gid, unread);
  if (object) return object;
  throw fail("absent", `look up ${type} ${gid}: StorPool lists none of that id; check it with pvesm list`);
}

/** The template. Throws `absent` when the list of all templates lacks it. */
export async function templateInList(
  queries: Queries,
  ctx: Context,
  name: string,
  unread: Unreadable,
): Promise<{ readonly name: string }> {
  const row = await rowOf(queries, ctx, "VolumeTemplatesStatus", "name", name, unread);
  if (row !== undefined) return { name };
  throw noTemplate(`look up StorPool template '${name}'`, name);
}

/** Returns when an object that was to vanish has done so. Throws `busy` while it is attached. */
export async function gone(
  queries: Queries,
  ctx: Context,
  type: Kind,
  gid: string,
  unread: Unreadable,
): Promise<void> {
  if ((await find(queries, ctx, type, gid, unread)) === undefined) return;
  await refuseAttached(queries, ctx, type, gid, unread);
  throw unread;
}

/** Returns when an object is as it was to become. Throws `absent`, and `no-space` where it cannot have grown. */
export async function updated(
  queries: Queries,
  ctx: Context,
  type: Kind,
  gid: string,
  change: { readonly size?: Bytes; readonly tags?: Tags; readonly template?: string },
  unread: Unreadable,
): Promise<void> {
  const object = await lookUpInList(queries, ctx, type, gid, unread);
  const { size = object.size, tags = {}, template = object.template } = change;
  const tagged = Object.entries(tags).every(([key, value]) => (object.tags[key] ?? "") === value);
  if (object.size === size && object.template === template && tagged) return;
  throw (await noRoom(queries, ctx, template, size - object.size, `update ${type} ${gid}`, unread)) ?? unread;
}

/** Throws why a volume cannot have been rolled back. That it was cannot be seen. */
export async function rebuffed(
  queries: Queries,
  ctx: Context,
  gid: string,
  snapshotGid: string,
  unread: Unreadable,
): Promise<never> {
  await lookUpInList(queries, ctx, "volume", gid, unread);
  await lookUpInList(queries, ctx, "snapshot", snapshotGid, unread);
  await refuseAttached(queries, ctx, "volume", gid, unread);
  throw unread;
}

/**
 * Returns when attachments are as they were to become, and the clients know it. Throws `busy` for what is still
 * attached where it was not to be taken by force, `absent`, and `refused` for a client that StorPool does not know.
 */
export async function reassigned(
  queries: Queries,
  ctx: Context,
  entries: readonly Reassign[],
  attachTimeout: number,
  unread: Unreadable,
): Promise<void> {
  const all = await otherwise(ctx, unread, () => queries.attachments(ctx));
  const clients = new Set<number>();
  for (const entry of entries) {
    const [type, gid] =
      "volume" in entry ? (["volume", entry.volume] as const) : (["snapshot", entry.snapshot] as const);
    const { ro = [], detach = [] } = entry;
    const rw = "rw" in entry ? (entry.rw ?? []) : [];
    // Who had it before is not known any more.
    if (detach === "all") throw unread;
    const rows = all.filter((row) => row.gid === gid);
    const has = (client: number, rights?: string) =>
      rows.some((row) => row.client === client && (rights === undefined || row.rights === rights));
    const kept = detach.filter((client) => has(client));
    const missing = [...rw.filter((id) => !has(id, "rw")), ...ro.filter((id) => !has(id, "ro"))];
    if (kept.length + missing.length > 0) {
      await lookUpInList(queries, ctx, type, gid, unread);
      if (kept.length > 0 && !entry.force) throw inUse(`detach ${type} ${gid}`, kept, unread.final);
      await refuseStrangers(queries, ctx, `attach ${type} ${gid}`, [...missing, ...kept], unread);
      throw unread;
    }
    for (const client of [...rw, ...ro, ...detach]) clients.add(client);
  }
  if (attachTimeout === 0) return;
  // The list has what is to be; the command would have waited for the clients.
  for (const client of clients) {
    const state = await otherwise(ctx, unread, () =>
      queries.clientConfigWait(ctx, client, attachTimeout * 1000),
    );
    if (state !== "ok") throw unread;
  }
}

/** Why a volume was not made, as far as that can be seen. */
export async function whyNoVolume(
  queries: Queries,
  ctx: Context,
  source: VolumeSource,
  unread: Unreadable,
): Promise<BlockioError | undefined> {
  return reason(async () => {
    const origin =
      "parent" in source
        ? await lookUpInList(queries, ctx, "snapshot", source.parent, unread)
        : "baseOn" in source
          ? await lookUpInList(queries, ctx, "volume", source.baseOn, unread)
          : undefined;
    const { template = origin?.template ?? "", size = origin?.size ?? 0n } = source;
    throw (await noRoom(queries, ctx, template, size, "create volume", unread)) ?? unread;
  });
}

/** Why snapshots of some volumes were not made, as far as that can be seen. */
export async function whyNoSnapshot(
  queries: Queries,
  ctx: Context,
  gids: readonly string[],
  unread: Unreadable,
): Promise<BlockioError | undefined> {
  return reason(async () => {
    for (const gid of gids) await lookUpInList(queries, ctx, "volume", gid, unread);
    throw unread;
  });
}

/** The error that says more than that nothing is known. */
async function reason(look: () => Promise<never>): Promise<BlockioError | undefined> {
  return look().catch((error: unknown) => {
    if (codeOf(error) === "absent" || codeOf(error) === "no-space") return error as BlockioError;
    return undefined;
  });
}

/** `no-space` for what a template has no room for, `absent` for a template that is not there. */
async function noRoom(
  queries: Queries,
  ctx: Context,
  template: string,
  more: Bytes,
  what: string,
  unread: Unreadable,
): Promise<BlockioError | undefined> {
  const row = await rowOf(queries, ctx, "VolumeTemplatesStatus", "name", template, unread);
  if (row === undefined) return noTemplate(what, template);
  const status = templateStatusSchema.safeParse(row);
  if (!status.success || status.data.free >= more) return undefined;
  return fail(
    "no-space",
    `${what}: template '${template}' has ${status.data.free} bytes free of the ${more} needed; free or add space`,
  );
}

function noTemplate(what: string, name: string): BlockioError {
  return fail("absent", `${what}: StorPool lists no template '${name}'; correct the storage's 'template'`);
}

async function refuseAttached(
  queries: Queries,
  ctx: Context,
  type: Kind,
  gid: string,
  unread: Unreadable,
): Promise<void> {
  const rows = await otherwise(ctx, unread, () => queries.attachments(ctx));
  const holders = rows.filter((row) => row.gid === gid).map(({ client }) => client);
  if (holders.length > 0) throw inUse(`change ${type} ${gid}`, holders, false);
}

async function refuseStrangers(
  queries: Queries,
  ctx: Context,
  what: string,
  wanted: readonly number[],
  unread: Unreadable,
): Promise<void> {
  const { clients } = await otherwise(ctx, unread, () => queries.services(ctx));
  const stranger = wanted.find((client) => !clients.has(client));
  // A list without any client is of a release that tells none.
  if (stranger === undefined || clients.size === 0) return;
  throw fail(
    "refused",
    `${what}: StorPool knows no client ${stranger}; start storpool_block on the node, or correct its SP_OURID`,
  );
}

/** `open`: a client may close it soon. The command may still be under way, so this is no plain no. */
function inUse(what: string, clients: readonly number[], open: boolean): ArrayError {
  const text = `${what}: it stays attached to client ${clients.join(", ")}; stop what uses it there, then repeat`;
  return new ArrayError("busy", text, { errorName: "unreadable", open, afterLost: true });
}

/** The object; undefined when the list of all proves that there is none, or none but on its way out. */
async function find(
  queries: Queries,
  ctx: Context,
  type: Kind,
  gid: string,
  unread: Unreadable,
): Promise<StorpoolObject | undefined> {
  const list = type === "volume" ? "VolumesList" : "SnapshotsList";
  const row = await rowOf(queries, ctx, list, "globalId", gid, unread);
  if (row === undefined) return undefined;
  const object = objectSchema(type).safeParse(row);
  if (!object.success) throw unread;
  return object.data.deleted || object.data.name.startsWith("*") ? undefined : object.data;
}

/** A row of a list; undefined when it is not there. One row that does not tell its key and nothing is proven. */
async function rowOf(
  queries: Queries,
  ctx: Context,
  list: RawList,
  key: "globalId" | "name",
  value: string,
  unread: Unreadable,
): Promise<unknown> {
  const rows = await otherwise(ctx, unread, () => queries.rawList(ctx, list));
  const keys = rows.map((row) => (row as Record<string, unknown> | null)?.[key]);
  const index = keys.indexOf(value);
  if (index < 0 && !keys.every((one) => typeof one === "string" && one !== "")) throw unread;
  return rows[index];
}

/** The second question; when it fails too, the first one's error is the one to tell. */
async function otherwise<T>(ctx: Context, unread: Unreadable, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (ctx.signal.aborted || codeOf(error) === "auth") throw error;
    throw unread;
  }
}
