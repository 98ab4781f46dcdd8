// SPDX-License-Identifier: AGPL-3.0-or-later
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Context } from "../../common/context.js";
import { type BlockioError, fail, wrap } from "../../common/errors.js";
import { isLostReply, Unreadable } from "../../common/http/lost.js";
import type { GroupSnapshot, StorpoolClient, VolumeSource } from "./client.js";
import type { StorpoolObject } from "./schemas.js";
import { whyNoSnapshot, whyNoVolume } from "./settle.js";
import { requestTag, type Tags, tag } from "./tags.js";

/** How a creation is sent, looked for and taken back. `request` is unique for each attempt. */
export interface CreationSteps<T> {
  /** Operation and object, for messages. */
  readonly what: string;
  /** Sends the command once, marked with `request`. */
  create(request: string): Promise<T>;
  /** What the command marked with `request` has made; undefined when there is nothing. */
  find(request: string): Promise<T | undefined>;
  /** Deletes what an earlier attempt made after all. */
  discard(made: T): Promise<void>;
  /** Why nothing was made although there was an answer, which cannot be read; undefined when that stays unknown. */
  explain?(unread: Unreadable): Promise<BlockioError | undefined>;
}

export interface CreationOptions {
  /** Pauses between looking for what a lost reply was about, in milliseconds. */
  readonly looksMs?: readonly number[];
  /** Begins the mark of each attempt. */
  readonly prefix?: string;
}

const attempts = 3;
/** A command whose reply was lost may still be under way when it is looked for. */
const defaultLooksMs = [0, 1_000, 3_000];

/**
 * Makes something exactly once, although replies may be lost: what a lost reply was about is looked for by its mark and
 * taken over; only when it is not there the command is sent again, under a new mark. What turns up late is discarded.
 *
 * @throws what `create` throws and `explain` gives; `unreachable` when it stays unknown whether there is something,
 *   naming its mark.
 */
export async function createOnce<T>(
  ctx: Context,
  steps: CreationSteps<T>,
  options: CreationOptions = {},
): Promise<T> {
  const lost: string[] = [];
  for (let round = 1; ; round++) {
    const request = `${options.prefix ?? ""}${randomUUID()}`;
    let made: T;
    try {
      made = await steps.create(request);
    } catch (error) {
      if (!isLostReply(error)) throw error;
      lost.push(request);
      ctx.log.warn("the reply to a creation was lost, looking for its result", { error, request });
      const found = await look(ctx, steps, lost, options.looksMs ?? defaultLooksMs);
      if (found !== undefined) return found;
      const why = error instanceof Unreadable ? await steps.explain?.(error) : undefined;
      if (why) throw why;
      if (round >= attempts) {
        throw fail("unreachable", `${steps.what}: no reply in ${attempts} attempts; ${advice(lost)}`, error);
      }
      continue;
    }
    await discardLate(ctx, steps, lost);
    return made;
  }
}

/** Looks several times for what any of the attempts made; the first counts, others are discarded. */
async function look<T>(
  ctx: Context,
  steps: CreationSteps<T>,
  lost: readonly string[],
  looksMs: readonly number[],
): Promise<T | undefined> {
  try {
    for (const pause of looksMs) {
      await sleep(pause, undefined, { signal: ctx.signal });
      for (const [index, request] of lost.entries()) {
        const found = await steps.find(request);
        if (found === undefined) continue;
        await discardLate(ctx, steps, lost.slice(index + 1));
        return found;
      }
    }
    return undefined;
  } catch (error) {
    const { code, message } = wrap(error, steps.what);
    // An abort has no code of ours; and that the search failed says nothing about what is searched.
    const reported = ctx.signal.aborted ? "timeout" : code === "auth" ? code : "unreachable";
    throw fail(
      reported,
      `${steps.what}: its reply was lost and looking failed (${message}); ${advice(lost)}`,
    );
  }
}

async function discardLate<T>(ctx: Context, steps: CreationSteps<T>, lost: readonly string[]): Promise<void> {
  for (const request of lost) {
    try {
      const late = await steps.find(request);
      if (late !== undefined) await steps.discard(late);
    } catch (error) {
      ctx.log.warn(`${steps.what}: a second copy may be left; ${advice([request])}`, { error });
    }
  }
}

function advice(requests: readonly string[]): string {
  return `look for objects with tag ${requestTag}=${requests.join(" or ")}`;
}

/** Takes the mark off what was made and is known; harmless where it stays. */
export async function unmark(
  client: StorpoolClient,
  ctx: Context,
  type: StorpoolObject["type"],
  gid: string,
): Promise<void> {
  const change = { tags: { [requestTag]: "" } };
  try {
    await (type === "volume"
      ? client.updateVolume(ctx, gid, change)
      : client.updateSnapshot(ctx, gid, change));
  } catch (error) {
    ctx.log.warn(`tag ${requestTag} stays on ${type} ${gid}`, { error });
  }
}

/** Makes a volume exactly once and gives its global id. */
export async function makeVolume(
  client: StorpoolClient,
  ctx: Context,
  source: VolumeSource,
  tags: Tags,
  options?: CreationOptions,
): Promise<string> {
  const gid = await createOnce(
    ctx,
    {
      what: "create volume",
      create: (request) => client.createVolume(ctx, source, { ...tags, [requestTag]: request }),
      find: async (request) =>
        (await client.volumes(ctx)).find((row) => tag(row.tags, requestTag) === request)?.gid,
      discard: async (late) => void (await client.deleteVolume(ctx, late)),
      explain: (unread) => whyNoVolume(client, ctx, source, unread),
    },
    options,
  );
  await unmark(client, ctx, "volume", gid);
  return gid;
}

/** Makes a snapshot exactly once and gives its global id. */
export async function makeSnapshot(
  client: StorpoolClient,
  ctx: Context,
  gid: string,
  tags: Tags,
  options?: CreationOptions,
): Promise<string> {
  const snapshot = await createOnce(
    ctx,
    {
      what: `snapshot volume ${gid}`,
      create: (request) => client.snapshotVolume(ctx, gid, { ...tags, [requestTag]: request }),
      find: async (request) => (await snapshotsOf(client, ctx, request))[0]?.gid,
      discard: async (late) => void (await client.deleteSnapshot(ctx, late)),
      explain: (unread) => whyNoSnapshot(client, ctx, [gid], unread),
    },
    options,
  );
  await unmark(client, ctx, "snapshot", snapshot);
  return snapshot;
}

/**
 * Makes snapshots of several volumes at one instant, exactly once. `pve-snap-v` must be among the tags of each. The mark
 * stays on all of them.
 */
export function makeGroupSnapshot(
  client: StorpoolClient,
  ctx: Context,
  volumes: readonly { readonly gid: string; readonly tags: Tags }[],
  options?: CreationOptions,
): Promise<GroupSnapshot> {
  return createOnce<GroupSnapshot>(
    ctx,
    {
      what: `snapshot volumes ${volumes.map(({ gid }) => gid).join(", ")}`,
      create: (request) =>
        client.groupSnapshot(
          ctx,
          volumes.map(({ gid, tags }) => ({ gid, tags: { ...tags, [requestTag]: request } })),
        ),
      find: async (request) => {
        const rows = await snapshotsOf(client, ctx, request);
        const found = rows.map((row) => ({ gid: row.gid, volumeGid: tag(row.tags, "pve-snap-v") ?? "" }));
        return found.length === 0 ? undefined : found;
      },
      discard: async (made) => {
        for (const { gid } of made) await client.deleteSnapshot(ctx, gid);
      },
      explain: async (unread) => {
        const gids = volumes.map(({ gid }) => gid);
        const why = await whyNoSnapshot(client, ctx, gids, unread);
        // Not every release may have this command. What it should make after all keeps its mark.
        return why ?? (unread.final ? fail("unsupported", unread.message, unread) : undefined);
      },
    },
    options,
  );
}

async function snapshotsOf(client: StorpoolClient, ctx: Context, request: string) {
  return (await client.snapshots(ctx)).filter((row) => !row.deleted && tag(row.tags, requestTag) === request);
}
