// SPDX-License-Identifier: AGPL-3.0-or-later
import { randomUUID } from "node:crypto";
import { type Context, steady } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import { isLostReply } from "../../common/http/lost.js";
import type { VolumeRef } from "../contract.js";
import { LinstorError, means } from "./answer.js";
import { claimant, isUnfinished } from "./lookup.js";
import { definitionNames, keys, ownWords, plainName, sameName } from "./names.js";
import { forgetName, recordName } from "./records.js";
import type { Session } from "./session.js";
import type { Definition } from "./shapes.js";

import { undo } from "./undo.js";

/*
 * A definition bears the mark of whoever makes it until it is finished: it is no volume as long. What a node finds with its
 * own mark and does not know of, or with that of a node that had more time than anybody takes, is a leftover.
 */

/** Beyond this nobody makes it any more, in seconds. */
const leftoverAfter = 20 * 60;

/** The creations that this process is about. */
const active = new Set<string>();

/** Whoever makes something: the words behind the definition's name in the mark. */
interface Maker {
  readonly words: string;
}

/** What a maker has made: told by the mark, or by LINSTOR's identity of it when the mark may be gone already. */
interface Made extends Maker {
  readonly uuid?: string | undefined;
}

/** How something is made under a name that was given to it. */
export interface Steps {
  /** Milliseconds that all of it may take, where that is more than usual. */
  readonly limitMs?: number;
  /** Makes the definition, with these properties; `landed` is for a lost reply. Throws `exists`. */
  create(
    ctx: Context,
    name: string,
    props: Readonly<Record<string, string>>,
    landed: (ctx: Context) => Promise<boolean>,
  ): Promise<void>;
  /** Makes the rest of it. */
  complete(ctx: Context, name: string): Promise<void>;
  /** Properties that it has in the end, and those that it must not have. */
  properties(name: string): {
    readonly set: Readonly<Record<string, string>>;
    readonly unset: readonly string[];
  };
}

/**
 * Makes a volume exactly once, although replies may be lost: what an attempt has made is told by its mark. What cannot be
 * finished is taken back.
 *
 * @throws `exists` when the volume's name is taken
 */
export async function makeVolume(
  session: Session,
  ctx: Context,
  ref: VolumeRef,
  steps: Steps,
): Promise<VolumeRef> {
  const { definitions } = session.client;
  const maker = newMaker(session);
  const calm = steady(ctx, steps.limitMs);
  try {
    const name = await claim(session, calm, ref, maker, steps);
    let made: Made = maker;
    try {
      await steps.complete(calm, name);
      await requireOnly(session, calm, ref, name);
      const { set, unset } = steps.properties(name);
      if (plainName(ref.name) !== name) await recordName(session, ref.name, name);
      made = { ...maker, uuid: await uuidOf(session, calm, name, maker) };
      await definitions.setProperties(calm, name, {
        set: { ...set, ...nameProperty(name, ref) },
        unset: [...unset, keys.request],
      });
    } catch (error) {
      await forgetName(session, ref.name, name);
      throw await undo(session, ctx, error, `what was made for '${ref.volname}'`, (later) =>
        discard(session, later, name, made),
      );
    }
    return ref;
  } finally {
    active.delete(maker.words);
  }
}

function newMaker({ host }: Session): Maker {
  const words = `${host} ${Math.floor(Date.now() / 1000)} ${randomUUID()}`;
  active.add(words);
  return { words };
}

/** The property by which a volume is known that its definition's name does not tell. */
export function nameProperty(definition: string, { name }: VolumeRef): Record<string, string> {
  return plainName(name) === definition ? {} : { [keys.name]: `${definition} ${name}` };
}

/** Makes the definition under the first name that nobody has. Looked for is only what is in the way. */
async function claim(
  session: Session,
  ctx: Context,
  ref: VolumeRef,
  maker: Maker,
  steps: Steps,
): Promise<string> {
  const { definitions } = session.client;
  for (const name of definitionNames(session.storeid, ref.name)) {
    const props = { [keys.request]: `${name} ${maker.words}`, ...nameProperty(name, ref) };
    const landed = async (asker: Context) => {
      const found = await definitions.find(asker, name);
      return found !== undefined && isMine(found, maker);
    };
    const create = () => steps.create(ctx, name, props, landed);
    try {
      await create().catch(async (error: unknown) => {
        // What is in the way may be a leftover.
        if (!means(error, "exists") || !(await isFree(session, ctx, ref, name))) throw error;
        return create();
      });
      return name;
    } catch (error) {
      // Another volume has it.
      if (means(error, "exists")) continue;
      // This very volume, or nothing was sent.
      if (!(error instanceof LinstorError) && !isLostReply(error)) throw error;
      throw await undo(session, ctx, error, `what was made for '${ref.volname}'`, (later) =>
        discard(session, later, name, maker),
      );
    }
  }
  throw taken(ref);
}

function taken({ volname }: VolumeRef) {
  return fail("exists", `volume '${volname}' already exists; choose another name`);
}

/** Whether a name can be had; a leftover goes. Throws `exists` when it is this very volume's. */
async function isFree(session: Session, ctx: Context, ref: VolumeRef, name: string): Promise<boolean> {
  const { definitions } = session.client;
  const found = await definitions.find(ctx, name);
  if (!found) return true;
  if (claimant(session, found)?.name !== ref.name) return false;
  if (!isLeftover(session, found)) throw taken(ref);
  ctx.log.info("removing what an interrupted creation has left", { definition: name });
  await definitions.delete(ctx, name);
  return (await definitions.find(ctx, name)) === undefined;
}

/** Nobody makes it any more. */
export function isLeftover({ host }: Session, definition: Definition): boolean {
  const [node, seconds, id] = ownWords(definition.props, keys.request, definition.name) ?? [];
  if (node === undefined) return false;
  if (node === host) return !active.has(`${node} ${seconds} ${id}`);
  return Date.now() / 1000 - Number(seconds) > leftoverAfter;
}

function isMine({ props, name, uuid }: Definition, { words, uuid: known }: Made): boolean {
  const mark = ownWords(props, keys.request, name)?.join(" ");
  return mark === words || (mark === undefined && uuid !== "" && uuid === known);
}

/** LINSTOR's identity of what a maker has made; undefined when it is not the maker's any more. */
async function uuidOf(
  session: Session,
  ctx: Context,
  name: string,
  maker: Maker,
): Promise<string | undefined> {
  const found = await session.client.definitions.find(ctx, name);
  return found && isMine(found, maker) ? found.uuid : undefined;
}

/** While we were at it, another volume may have got the name by a rename. */
async function requireOnly(session: Session, ctx: Context, ref: VolumeRef, name: string): Promise<void> {
  const other = (await session.client.definitions.named(ctx)).find(
    (one) => !sameName(one.name, name) && !isUnfinished(one) && claimant(session, one)?.name === ref.name,
  );
  if (other) throw taken(ref);
}

/** Deletes what was made, when it is ours. False when it is not there: it may still come. */
async function discard(session: Session, ctx: Context, name: string, made: Made): Promise<boolean> {
  const { definitions } = session.client;
  const found = await definitions.find(ctx, name);
  if (!found || !isMine(found, made)) return false;
  await definitions.delete(ctx, name);
  return true;
}
