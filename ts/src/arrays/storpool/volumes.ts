// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import type { Bytes } from "../../common/size.js";
import type { DriverEnvironment, Volume, VolumeRef } from "../contract.js";
import { ArrayError } from "./answer.js";
import { attachNew, detach, detachAll } from "./attach.js";
import { makeSnapshot, makeVolume } from "./creation.js";
import { encodeRecord, nextDiskNumber } from "./encode.js";
import { formatName, tryParseName } from "./naming.js";
import {
  type Found,
  inOrder,
  lookUp,
  matches,
  objectById,
  recognise,
  snapshotOf,
  snapshotsOf,
  tryLookUp,
} from "./objects.js";
import { parseShortName, type Request } from "./request.js";
import type { StorpoolSection } from "./schema.js";
import type { StorpoolObject } from "./schemas.js";
import type { Session } from "./session.js";
import { buildTags, clearedTags, ownership, tag } from "./tags.js";

/** Sizes are whole sectors. */
const sector = 512n;
/** How long a client that is not ours may take to see a new size, in milliseconds. */
const foreignClientMs = 10_000;
/** The longest time for a creation with all its attempts, in milliseconds. */
const creationMs = 120_000;

/** The verbs on volumes of one storage. */
export class Volumes {
  /** Damaged objects that were warned of. */
  readonly #warned = new Set<string>();

  constructor(
    private readonly section: StorpoolSection,
    private readonly environment: DriverEnvironment,
  ) {}

  /** Disks, bases, RAM states, cloud-init drives and images; snapshots of disks are no volumes. */
  async list(session: Session, ctx: Context, vmid: number | undefined): Promise<Volume[]> {
    const { slug, storeid } = session.owner;
    const { volumes, snapshots } = await session.client.listAll(ctx, (tags) => {
      if (tags["pve-loc"] !== slug || tags["pve"] !== storeid || tags["pve-snap-v"]) return false;
      // Bases and images of others are the parents of this guest's clones.
      return (
        vmid === undefined || tags["pve-vm"] === `${vmid}` || tags["pve-base"] === "1" || !tags["pve-vm"]
      );
    });
    const names = new Map<string, string>();
    const shown: Found[] = [];
    for (const object of [...volumes, ...snapshots]) {
      const found = this.#recognise(session, ctx, object);
      if (!found || found.ref.kind === "snap" || found.ref.kind === "iso") continue;
      names.set(found.ref.gid, found.name);
      if (vmid === undefined || ("vmid" in found.ref && found.ref.vmid === vmid)) shown.push(found);
    }
    return shown.map((found) => this.#describe(listed(found), names.get(found.object.parentGid ?? "")));
  }

  async get(session: Session, ctx: Context, ref: VolumeRef): Promise<Volume> {
    const found = await lookUp(session, ctx, ref);
    return this.#describe(found, await this.#parent(session, ctx, found.object));
  }

  async create(session: Session, ctx: Context, ref: VolumeRef, size: Bytes): Promise<VolumeRef> {
    const spec = await this.#vacant(session, ctx, ref);
    const tags = buildTags(session.owner, spec, this.section.extraTags);
    const source = { size: sectors(size), template: this.section.template };
    const calm = steady(ctx);
    const gid = await makeVolume(session.client, calm, source, tags, session.pace);
    const made = await this.#numbered(session, calm, spec, gid);
    if (session.config.veeamCompat) await attachNew(session, ctx, gid);
    return made;
  }

  /** A copy-on-write copy of a base, an image or a snapshot. */
  async clone(
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
    const spec = await this.#vacant(session, ctx, target);
    // What is not cleared would be inherited: the clone of a snapshot is neither snapshot nor template.
    const tags = { ...clearedTags, ...buildTags(session.owner, spec, this.section.extraTags) };
    const { template } = this.section;
    const calm = steady(ctx);
    const gid = await makeVolume(session.client, calm, { parent: parent.gid, template }, tags, session.pace);
    return this.#numbered(session, calm, spec, gid);
  }

  /** Deletes a volume with its snapshots; what an interrupted deletion has left is deleted too. */
  async delete(session: Session, ctx: Context, ref: VolumeRef): Promise<boolean> {
    const found = await tryLookUp(session, ctx, ref);
    if (!found) {
      const gid = tryParseName(ref.name)?.gid;
      if (gid !== undefined) await this.#deleteSnapshots(session, ctx, gid);
      return false;
    }
    const { object } = found;
    await detachAll(session, ctx, object);
    if (object.type === "snapshot") return session.client.deleteSnapshot(ctx, object.gid);
    await this.#deleteSnapshots(session, ctx, object.gid);
    return session.client.deleteVolume(ctx, object.gid);
  }

  async resize(session: Session, ctx: Context, ref: VolumeRef, size: Bytes): Promise<void> {
    const { client, config } = session;
    const { object, name } = await lookUp(session, ctx, ref);
    const wanted = sectors(size);
    if (wanted < object.size) {
      throw fail(
        "invalid",
        `volume '${name}': ${size} bytes are less than its ${object.size}; a volume only grows`,
      );
    }
    if (wanted > object.size) await client.updateVolume(ctx, object.gid, { size: wanted });
    // QEMU is told the new size right after this: the kernel's device must have it.
    const attached = (await client.attachments(ctx)).filter((row) => row.gid === object.gid);
    for (const row of attached) {
      if (row.client === config.ourId) await client.clientConfigWait(ctx, row.client);
    }
    for (const row of attached) {
      if (row.client === config.ourId) continue;
      await client.clientConfigWait(ctx, row.client, foreignClientMs).catch((error: unknown) => {
        ctx.log.warn("another client has not seen the new size yet", {
          volname: name,
          client: row.client,
          error,
        });
      });
    }
  }

  async rename(session: Session, ctx: Context, from: VolumeRef, to: VolumeRef): Promise<VolumeRef> {
    const { object, name } = await lookUp(session, ctx, from);
    const snapshots = await snapshotsOf(session, ctx, object.gid);
    if (snapshots.length > 0) {
      const names = snapshots.map(({ tags }) => tag(tags, "pve-snap")).join(", ");
      throw fail("refused", `volume '${name}' has snapshots (${names}); delete them first`);
    }
    const spec = await this.#vacant(session, ctx, to);
    const { "pve-vm": vm = "", "pve-disk": disk = "" } = buildTags(session.owner, spec);
    await session.client.updateVolume(ctx, object.gid, { tags: { "pve-vm": vm, "pve-disk": disk } });
    return this.#named(spec, object.gid);
  }

  /**
   * A base is a snapshot that replaces its volume. The volume goes last: until then the call can be repeated, and when
   * the array refuses to delete it the snapshot is taken back.
   */
  async makeBase(session: Session, ctx: Context, from: VolumeRef, to: VolumeRef): Promise<VolumeRef> {
    const { client, owner } = session;
    const made = await tryLookUp(session, ctx, to);
    const volume = await tryLookUp(session, ctx, from);
    if (!volume && made) return this.environment.parse(made.name);
    if (!volume) throw fail("absent", `volume '${from.volname}' does not exist; look it up with pvesm list`);
    if (volume.ref.kind !== "disk") {
      throw fail("refused", `make a base of '${volume.name}': only a disk can be a template's`);
    }
    const { vmid, disk } = volume.ref;
    await detachAll(session, ctx, volume.object);
    const tags = buildTags(
      owner,
      { kind: "base", vmid, disk, ...typeOf(volume.object) },
      this.section.extraTags,
    );
    if (made && made.object.onVolume !== volume.ref.gid) {
      throw fail("exists", `make a base of '${volume.name}': there is '${made.name}' already`);
    }
    // An earlier attempt may have come as far as the snapshot.
    const gid =
      made?.ref.gid ?? (await makeSnapshot(client, steady(ctx), volume.ref.gid, tags, session.pace));
    try {
      await client.deleteVolume(ctx, volume.ref.gid);
    } catch (error) {
      // Only a plain no: when the reply was lost the volume may be gone, and the snapshot is all that is left of it.
      const stays = error instanceof ArrayError && !error.afterLost;
      if (!made && stays) {
        await client
          .deleteSnapshot({ ...ctx, signal: AbortSignal.timeout(30_000) }, gid)
          .catch((undo: unknown) => {
            ctx.log.error("could not take a half-made base back", { gid, error: undo });
          });
      }
      throw error;
    }
    return this.environment.parse(formatName({ kind: "base", vmid, disk, gid }));
  }

  async #deleteSnapshots(session: Session, ctx: Context, gid: string): Promise<void> {
    for (const snapshot of await snapshotsOf(session, ctx, gid)) {
      await detach(session, ctx, snapshot);
      await session.client.deleteSnapshot(ctx, snapshot.gid);
    }
  }

  /** What a new name stands for, once it is certain that nobody has it. Throws `exists`, `invalid`. */
  async #vacant(session: Session, ctx: Context, ref: VolumeRef): Promise<Newcomer> {
    const request = wanted(ref);
    if (request === undefined || request.kind === "base") {
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
   * Settles a race: another node may have given a disk the same number meanwhile. The one that was made first keeps it,
   * the other takes the next.
   */
  async #numbered(session: Session, ctx: Context, spec: Newcomer, gid: string): Promise<VolumeRef> {
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
    return this.#named(mine, gid);
  }

  #named(spec: Newcomer, gid: string): VolumeRef {
    return this.environment.parse(formatName({ ...spec, gid }));
  }

  #recognise(session: Session, ctx: Context, object: StorpoolObject): Found | undefined {
    if (ownership(object.tags, session.owner) !== "ours" || object.transient) return undefined;
    const encoded = encodeRecord(object);
    if (encoded.ok) return { object, ref: encoded.ref, name: encoded.name };
    if (!object.deleted && !object.name.startsWith("*") && !this.#warned.has(object.gid)) {
      this.#warned.add(object.gid);
      ctx.log.warn("an object of this storage is not shown", { gid: object.gid, reason: encoded.reason });
    }
    return undefined;
  }

  #describe({ object, name }: Found, parent: string | undefined): Volume {
    return {
      ref: this.environment.parse(name),
      size: object.size,
      ...(object.stored === undefined ? {} : { used: object.stored }),
      ...(parent === undefined ? {} : { parent }),
      ...(object.ctime > 0 ? { ctime: object.ctime } : {}),
    };
  }

  async #parent(session: Session, ctx: Context, object: StorpoolObject): Promise<string | undefined> {
    if (object.parentGid === undefined) return undefined;
    const parent = await objectById(session, ctx, "snapshot", object.parentGid);
    const found = parent && recognise(session, parent);
    return found && found.ref.kind !== "snap" ? found.name : undefined;
  }
}

/**
 * A RAM state is listed under the name that PVE asked for: `qm rescan` knows these by `vm-VMID-state-` alone and would
 * take any other name for a lost disk.
 */
function listed(found: Found): Found {
  const { ref } = found;
  if (ref.kind !== "state") return found;
  const name = `vm-${ref.vmid}-state-${ref.snap}.raw`;
  return parseShortName(name)?.kind === "state" ? { ...found, name } : found;
}

/** What can be made new. */
type Newcomer = Exclude<Request, { kind: "base" | "other" }>;

/**
 * A creation is not torn apart when its caller goes away: whether there is something now would be unknown. Whoever called
 * takes it back.
 */
export function steady(ctx: Context): Context {
  ctx.signal.throwIfAborted();
  return { ...ctx, signal: AbortSignal.timeout(creationMs) };
}

/** What a name asks for. A global id in it is that of another storage. */
function wanted(ref: VolumeRef): Request | undefined {
  const name = tryParseName(ref.name);
  switch (name?.kind) {
    case "disk":
    case "base":
    case "state":
    case "cloudinit":
      return name;
    case undefined:
      return parseShortName(ref.name);
    default:
      return undefined;
  }
}

function sectors(size: Bytes): Bytes {
  return ((size + sector - 1n) / sector) * sector;
}

function typeOf({ tags }: StorpoolObject): { type?: "rootdir" } {
  return tag(tags, "pve-type") === "rootdir" ? { type: "rootdir" } : {};
}
