// SPDX-License-Identifier: AGPL-3.0-or-later
import { type Context, steady } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import type { Bytes } from "../../common/size.js";
import type { VolumeRef } from "../contract.js";
import { attachNew } from "./attach.js";
import { makeVolume } from "./creation.js";
import { nextDiskNumber } from "./encode.js";
import { formatName, tryParseName } from "./naming.js";
import { inOrder, lookUp, matches, recognise, snapshotOf } from "./objects.js";
import { parseShortName, type Request } from "./request.js";
import type { Session } from "./session.js";
import { buildTags, clearedTags } from "./tags.js";

/** Sizes are whole sectors. */
const sector = 512n;

/** Makes an empty volume. */
export async function createVolume(
  session: Session,
  ctx: Context,
  ref: VolumeRef,
  size: Bytes,
): Promise<VolumeRef> {
  const spec = await vacant(session, ctx, ref);
  const tags = buildTags(session.owner, spec, session.section.extraTags);
  const source = { size: sectors(size), template: session.section.template };
  const calm = steady(ctx);
  const gid = await makeVolume(session.client, calm, source, tags, session.pace);
  return finish(session, calm, spec, gid);
}

/** A copy-on-write copy of a base, an image or a snapshot. */
export async function cloneVolume(
  session: Session,
  ctx: Context,
  source: VolumeRef,
  snapshot: string | undefined,
  target: VolumeRef,
): Promise<VolumeRef> {
  const found = await lookUp(session, ctx, source);
  const parent = snapshot === undefined ? found.object : await snapshotOf(session, ctx, found, snapshot);
  if (parent.type !== "snapshot") {
    throw fail(
      "refused",
      `clone '${found.name}': it is neither a base nor a snapshot; make it a template first`,
    );
  }
  const spec = await vacant(session, ctx, target);
  // What is not cleared would be inherited: the clone of a snapshot is neither snapshot nor template.
  const tags = { ...clearedTags, ...buildTags(session.owner, spec, session.section.extraTags) };
  const { template } = session.section;
  const calm = steady(ctx);
  const gid = await makeVolume(session.client, calm, { parent: parent.gid, template }, tags, session.pace);
  return finish(session, calm, spec, gid);
}

/** What a new name stands for, once it is certain that nobody has it. Throws `exists`, `invalid`. */
export async function vacant(session: Session, ctx: Context, ref: VolumeRef): Promise<Newcomer> {
  const request = wanted(ref);
  if (request?.kind === "img" || request?.kind === "iso") {
    throw fail("unsupported", `'${ref.volname}' is an image, which is made with its data: use pvesm import`);
  }
  if (request === undefined || request.kind === "base" || request.kind === "staged") {
    throw fail(
      request ? "unsupported" : "invalid",
      `'${ref.volname}' cannot be the name of a new volume; ask for vm-VMID-disk-N and make a base of that`,
    );
  }
  const volumes = await session.client.volumes(ctx);
  if (request.kind === "other") {
    return { kind: "disk", vmid: request.vmid, disk: nextDiskNumber(volumes, session.owner, request.vmid) };
  }
  const taken = volumes
    .map((object) => recognise(session, object))
    .find((found) => found && matches(found.ref, request));
  if (taken) throw fail("exists", `volume '${ref.volname}' already exists as '${taken.name}'`);
  return request;
}

/**
 * Finishes what was made, and settles a race: another node may have given a disk the same number meanwhile. The one that was made first keeps it,
 * the other takes the next.
 */
async function finish(session: Session, ctx: Context, spec: Newcomer, gid: string): Promise<VolumeRef> {
  let mine = spec;
  while (mine.kind === "disk") {
    const request = mine;
    const volumes = await session.client.volumes(ctx);
    const earlier = volumes.some((object) => {
      const ref = recognise(session, object)?.ref;
      return ref !== undefined && ref.gid !== gid && matches(ref, request) && inOrder(ref.gid, gid) < 0;
    });
    if (!earlier) break;
    const disk = nextDiskNumber(volumes, session.owner, request.vmid);
    ctx.log.info("another node took the same disk number, taking the next", {
      gid,
      number: request.disk,
      disk,
    });
    await session.client.updateVolume(ctx, gid, { tags: { "pve-disk": String(disk) } });
    mine = { ...request, disk };
  }
  if (session.config.veeamCompat) await attachNew(session, ctx, gid);
  return named(session, mine, gid);
}

/** The whole name of what was made. */
export function named(session: Session, spec: Newcomer, gid: string): VolumeRef {
  return session.parse(formatName({ ...spec, gid }));
}

/** What can be made new. */
export type Newcomer = Exclude<Request, { kind: "base" | "other" | "img" | "iso" | "staged" }>;

/** What a name asks for. A global id in it is that of another storage. */
function wanted(ref: VolumeRef): Request | undefined {
  const name = tryParseName(ref.name);
  switch (name?.kind) {
    case "disk":
    case "base":
    case "state":
    case "cloudinit":
    case "img":
    case "iso":
      return name;
    case undefined:
      return parseShortName(ref.name);
    default:
      return undefined;
  }
}

/** A size in whole sectors. Throws `invalid` for none at all. */
export function sectors(size: Bytes): Bytes {
  if (size <= 0n) throw fail("invalid", "a volume needs a size; give one in GiB, as in STORAGE:8");
  return ((size + sector - 1n) / sector) * sector;
}
