// SPDX-License-Identifier: AGPL-3.0-or-later
import { type Context, steady } from "../../common/context.js";
import { codeOf, fail } from "../../common/errors.js";
import type { Bytes } from "../../common/size.js";
import type { VolumeRef } from "../contract.js";
import { ArrayError } from "./answer.js";
import { detachAll } from "./attach.js";
import { makeSnapshot, makeVolume } from "./creation.js";
import { formatName, type ImageKind, tryParseName } from "./naming.js";
import { matches, objectById, recognise, recogniseStaged, type Staged } from "./objects.js";
import { parseShortName } from "./request.js";
import type { StorpoolObject } from "./schemas.js";
import type { Session } from "./session.js";
import { buildTags, requestTag, type Tags, tag } from "./tags.js";

/** An image without its identity. */
interface Label {
  readonly kind: ImageKind;
  readonly comment: string;
}

/** A staged volume that is younger may be another node's, which is about to attach it; in seconds. */
const settledAfter = 60;

/**
 * Images (`img`, `iso`) of one storage. An image is a snapshot, so its data is written to a volume first: *staged*,
 * without the tag that makes it ours, so that no listing has it, no disk number counts it and no other program meets an
 * image that is no snapshot. At the end the volume is frozen, and gets that tag as its last.
 */
export class Images {
  /** Global ids of what this process is having written. */
  readonly #live = new Set<string>();

  /** Makes the volume that the image's data goes to. Throws `exists` when there is an image with that label. */
  async stage(session: Session, ctx: Context, label: Label, size: Bytes): Promise<VolumeRef> {
    const { volumes, snapshots } = await this.#candidates(session, ctx, label);
    refuseTaken(session, snapshots, label);
    // What is older, attached nowhere and not at its end is left of a crash.
    const latest = Date.now() / 1000 - settledAfter;
    const old = volumes.filter(({ gid, tags, ctime }) => ctime <= latest && tag(tags, requestTag) !== gid);
    await this.#sweep(session, ctx, label, old);
    const tags = this.#stagedTags(session, label);
    const source = { size, template: session.section.template };
    const gid = await makeVolume(session.client, steady(ctx), source, tags, session.pace);
    this.#live.add(gid);
    return session.parse(formatName({ kind: "staged", of: label.kind, comment: label.comment, gid }));
  }

  /**
   * Makes the image of its staged volume. What an earlier attempt has made is found by the volume's global id: the
   * frozen one has it too, or has it as its mark, or is a snapshot of that volume.
   */
  async finish(session: Session, ctx: Context, from: VolumeRef): Promise<VolumeRef> {
    const { client } = session;
    const { gid, label } = stagedName(from);
    const found = await objectById(session, ctx, "volume", gid);
    const volume = found && recogniseStaged(session, found);
    const { snapshots } = await this.#candidates(session, ctx, label);
    let image = madeOf(session, snapshots, gid, label);
    if (!volume && !image) {
      throw fail("absent", `volume '${from.volname}' does not exist; its import has ended`);
    }
    refuseTaken(
      session,
      snapshots.filter((object) => object !== image),
      label,
    );
    if (volume && !image) image = await this.#freeze(session, ctx, volume);
    if (!image) throw fail("internal", `'${from.volname}' was frozen and is nowhere; look for ${gid}`);
    if (recogniseStaged(session, image)) {
      // Where the global id is another one, the mark is how a repeated call finds the image.
      const mark = { [requestTag]: image.gid === gid ? "" : gid };
      const tags = { ...buildTags(session.owner, label, session.section.extraTags), ...mark };
      await client.updateSnapshot(ctx, image.gid, { tags });
    }
    this.#live.delete(gid);
    await this.#clear(session, ctx, gid);
    return session.parse(formatName({ ...label, gid: image.gid }));
  }

  /** Removes a staged volume, or what has become of it as long as that is no image. False when there was nothing. */
  async discard(session: Session, ctx: Context, staged: VolumeRef): Promise<boolean> {
    const { gid, label } = stagedName(staged);
    this.#live.delete(gid);
    const { volumes, snapshots } = await this.#candidates(session, ctx, label);
    const rest = [...volumes, ...snapshots].filter(
      (object) => cameFrom(object, gid) && recogniseStaged(session, object),
    );
    for (const object of rest) await remove(session, ctx, object);
    return rest.length > 0;
  }

  /** For a name without global id: removes what imports of it have left that nobody works on. False when nothing was. */
  async discardLeftovers(session: Session, ctx: Context, ref: VolumeRef): Promise<boolean> {
    const label = labelOf(ref);
    if (!label) return false;
    const { volumes, snapshots } = await this.#candidates(session, ctx, label);
    return this.#sweep(session, ctx, label, [...volumes, ...snapshots]);
  }

  #stagedTags(session: Session, label: Label): Tags {
    const { virt: _, ...tags } = buildTags(session.owner, label, session.section.extraTags);
    return tags;
  }

  /** What may have to do with a label, of all states. */
  #candidates(session: Session, ctx: Context, label: Label) {
    const { slug, storeid } = session.owner;
    return session.client.listAll(
      ctx,
      (tags) =>
        tags["pve-loc"] === slug &&
        tags["pve"] === storeid &&
        !tags["pve-vm"] &&
        (tags["pve-comment"] || label.comment) === label.comment,
    );
  }

  /** Turns a volume into a snapshot: without copying where the release can, else by a snapshot of it. */
  async #freeze(session: Session, ctx: Context, volume: Staged): Promise<StorpoolObject | undefined> {
    const { client } = session;
    const { gid, of, comment } = volume.ref;
    const label = { kind: of, comment };
    await client.updateVolume(ctx, gid, { tags: { [requestTag]: gid } });
    await detachAll(session, ctx, volume.object);
    const done = await client.freeze(ctx, gid).catch((error: unknown) => {
      if (!cannotFreeze(error)) throw error;
      ctx.log.info("StorPool does not freeze this volume, taking a snapshot of it", { gid, error });
      return false;
    });
    if (done || !(await objectById(session, ctx, "volume", gid))) {
      const kept = await objectById(session, ctx, "snapshot", gid);
      return kept ?? madeOf(session, await client.snapshots(ctx), gid, label);
    }
    const tags = this.#stagedTags(session, label);
    const made = await makeSnapshot(client, steady(ctx), gid, tags, session.pace);
    return client.snapshot(ctx, made);
  }

  /** Removes the volume that a snapshot has replaced. That it cannot be is no failure of the image, which is there. */
  async #clear(session: Session, ctx: Context, gid: string): Promise<void> {
    try {
      const left = await objectById(session, ctx, "volume", gid);
      if (left && recogniseStaged(session, left)) await remove(session, ctx, left);
    } catch (error) {
      ctx.log.warn("the volume that an image was written to is left over, free it", { gid, error });
    }
  }

  /** Removes those that nobody works on. */
  async #sweep(
    session: Session,
    ctx: Context,
    { kind, comment }: Label,
    objects: readonly StorpoolObject[],
  ): Promise<boolean> {
    const left = objects.filter((object) => {
      const ref = recogniseStaged(session, object)?.ref;
      return ref?.of === kind && ref.comment === comment && !this.#live.has(ref.gid);
    });
    if (left.length === 0) return false;
    const { clients } = await session.client.services(ctx);
    const rows = await session.client.attachments(ctx);
    const { ourId } = session.config;
    let removed = false;
    for (const object of left) {
      const others = rows.filter(({ gid, client }) => gid === object.gid && client !== ourId);
      // Another node's import, also while it has it not open.
      if (others.some(({ client }) => clients.get(client) !== "down")) continue;
      try {
        await remove(session, ctx, object);
        removed = true;
      } catch (error) {
        if (codeOf(error) !== "busy") throw error;
        ctx.log.info("an import of the same name is under way", { gid: object.gid });
      }
    }
    return removed;
  }
}

/** The image that a name without global id speaks of. */
function labelOf(ref: VolumeRef): Label | undefined {
  const request = tryParseName(ref.name) ? undefined : parseShortName(ref.name);
  return request?.kind === "img" || request?.kind === "iso" ? request : undefined;
}

/** The image that a volume is asked for to be made into. */
export function stagedAs(ref: VolumeRef): Label | undefined {
  const request = tryParseName(ref.name) ? undefined : parseShortName(ref.name);
  return request?.kind === "staged" ? { kind: request.of, comment: request.comment } : undefined;
}

/** True for the name of a volume that will be an image. */
export function isStaged(ref: VolumeRef): boolean {
  return tryParseName(ref.name)?.kind === "staged";
}

function stagedName(ref: VolumeRef): { gid: string; label: Label } {
  const name = tryParseName(ref.name);
  if (name?.kind !== "staged") throw fail("invalid", `'${ref.volname}' is no image in the making`);
  return { gid: name.gid, label: { kind: name.of, comment: name.comment } };
}

function refuseTaken(session: Session, snapshots: readonly StorpoolObject[], label: Label): void {
  const taken = snapshots
    .map((object) => recognise(session, object))
    .find((found) => found && matches(found.ref, label));
  if (taken) throw fail("exists", `there is an image '${taken.name}' already`);
}

/** What was made of a staged volume: an image, or one that lacks only its last tag. */
function madeOf(
  session: Session,
  snapshots: readonly StorpoolObject[],
  gid: string,
  { kind, comment }: Label,
): StorpoolObject | undefined {
  return snapshots.find((object) => {
    if (!cameFrom(object, gid)) return false;
    const ref = (recognise(session, object) ?? recogniseStaged(session, object))?.ref;
    const found = ref?.kind === "staged" ? ref.of : ref?.kind;
    return found === kind && ref !== undefined && "comment" in ref && ref.comment === comment;
  });
}

function cameFrom(object: StorpoolObject, gid: string): boolean {
  return object.gid === gid || tag(object.tags, requestTag) === gid || object.onVolume === gid;
}

async function remove(session: Session, ctx: Context, object: StorpoolObject): Promise<void> {
  await detachAll(session, ctx, object);
  if (object.type === "volume") await session.client.deleteVolume(ctx, object.gid);
  else await session.client.deleteSnapshot(ctx, object.gid);
}

/** A plain no that says nothing of the volume's use: older releases do not know the request. */
function cannotFreeze(error: unknown): boolean {
  return (
    codeOf(error) === "unsupported" ||
    (error instanceof ArrayError && !error.afterLost && ["refused", "invalid"].includes(error.code))
  );
}
