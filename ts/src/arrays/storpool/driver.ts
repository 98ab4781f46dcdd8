// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context, Host } from "../../common/context.js";
import { BlockioError, fail, wrap } from "../../common/errors.js";
import type { Bytes } from "../../common/size.js";
import type {
  Capabilities,
  Capacity,
  Connection,
  Driver,
  DriverEnvironment,
  Snapshot,
  Upkeep,
  Volume,
  VolumeRef,
} from "../contract.js";
import { attachSnapshot, attachVolume, deactivate, detach } from "./attach.js";
import { makeBase } from "./base.js";
import { cloneVolume, createVolume, sectors } from "./create.js";
import { Images, isStaged, stagedAs } from "./images.js";
import { Listing } from "./listing.js";
import { type Found, lookUp, snapshotOf, snapshotsOf, tryLookUp } from "./objects.js";
import type { StorpoolSection } from "./schema.js";
import type { StorpoolObject } from "./schemas.js";
import { devicePath, type Pace, type Session, Sessions } from "./session.js";
import { createSnapshot, deleteSnapshot, listSnapshots, rollback } from "./snapshots.js";
import { diagnose, leftovers, needs, removeLeftover } from "./upkeep.js";
import { deleteVolume, renameVolume, resizeVolume } from "./volumes.js";

const capabilities: Capabilities = {
  snapshots: true,
  linkedClones: true,
  clonesDependOnBase: false,
  rename: true,
  rollbackToAny: true,
  zeroedOnCreate: true,
  atomicNames: true,
  directories: false,
};

/** A StorPool cluster. Volumes are found by global id, owned by tags, and attached by StorPool's client on the node. */
export class StorpoolDriver implements Driver {
  readonly domain: string;
  readonly #sessions: Sessions;
  readonly #listing = new Listing();
  readonly #images = new Images();

  constructor(
    private readonly section: StorpoolSection,
    private readonly environment: DriverEnvironment,
    pace?: Pace,
  ) {
    this.domain = `storpool:${section.template}`;
    this.#sessions = new Sessions(section, environment, pace);
  }

  async capabilities(): Promise<Capabilities> {
    return capabilities;
  }

  check(ctx: Context): Promise<void> {
    return this.#use(
      ctx,
      "check",
      async ({ client }) => void (await client.describeTemplate(ctx, this.section.template)),
    );
  }

  capacity(ctx: Context): Promise<Capacity> {
    const { template } = this.section;
    return this.#use(ctx, "ask for the capacity", async ({ client }) => {
      const found = (await client.templatesStatus(ctx)).find(({ name }) => name === template);
      if (!found)
        throw fail("absent", `StorPool tells no capacity of template '${template}'; check its name`);
      const { capacity: total, free: available } = found;
      return { total, available, used: total > available ? total - available : 0n };
    });
  }

  identity(ctx: Context): Promise<string> {
    return this.#use(ctx, "identify", async ({ client, config, owner }) => {
      await client.services(ctx);
      return ["storpool", config.host, config.port, this.section.template, owner.slug].join(":");
    });
  }

  listVolumes(ctx: Context, vmid?: number): Promise<Volume[]> {
    return this.#use(ctx, "list volumes", (session) => this.#listing.list(session, ctx, vmid));
  }

  getVolume(ctx: Context, ref: VolumeRef): Promise<Volume> {
    return this.#use(ctx, `look up '${ref.volname}'`, (session) => this.#listing.get(session, ctx, ref));
  }

  createVolume(ctx: Context, ref: VolumeRef, size: Bytes): Promise<VolumeRef> {
    return this.#use(ctx, `create '${ref.volname}'`, (session) => {
      const label = stagedAs(ref);
      return label
        ? this.#images.stage(session, ctx, label, sectors(size))
        : createVolume(session, ctx, ref, size);
    });
  }

  deleteVolume(ctx: Context, ref: VolumeRef): Promise<boolean> {
    return this.#use(ctx, `delete '${ref.volname}'`, async (session) => {
      if (isStaged(ref)) return this.#images.discard(session, ctx, ref);
      const existed = await deleteVolume(session, ctx, ref);
      return (await this.#images.discardLeftovers(session, ctx, ref)) || existed;
    });
  }

  resizeVolume(ctx: Context, ref: VolumeRef, size: Bytes): Promise<void> {
    return this.#use(ctx, `resize '${ref.volname}'`, (session) => resizeVolume(session, ctx, ref, size));
  }

  renameVolume(ctx: Context, from: VolumeRef, to: VolumeRef): Promise<VolumeRef> {
    return this.#use(ctx, `rename '${from.volname}'`, (session) => renameVolume(session, ctx, from, to));
  }

  createSnapshot(ctx: Context, ref: VolumeRef, snap: string): Promise<void> {
    return this.#use(ctx, `snapshot '${ref.volname}'`, (session) => createSnapshot(session, ctx, ref, snap));
  }

  deleteSnapshot(ctx: Context, ref: VolumeRef, snap: string): Promise<void> {
    return this.#use(ctx, `delete snapshot '${snap}' of '${ref.volname}'`, (session) =>
      deleteSnapshot(session, ctx, ref, snap),
    );
  }

  listSnapshots(ctx: Context, ref: VolumeRef): Promise<Snapshot[]> {
    return this.#use(ctx, `list snapshots of '${ref.volname}'`, (session) =>
      listSnapshots(session, ctx, ref),
    );
  }

  rollback(ctx: Context, ref: VolumeRef, snap: string): Promise<void> {
    return this.#use(ctx, `roll back '${ref.volname}'`, (session) => rollback(session, ctx, ref, snap));
  }

  cloneVolume(
    ctx: Context,
    source: VolumeRef,
    snapshot: string | undefined,
    target: VolumeRef,
  ): Promise<VolumeRef> {
    return this.#use(ctx, `clone '${source.volname}'`, (session) =>
      cloneVolume(session, ctx, source, snapshot, target),
    );
  }

  makeBase(ctx: Context, from: VolumeRef, to: VolumeRef): Promise<VolumeRef> {
    return this.#use(ctx, `make a base of '${from.volname}'`, (session) =>
      isStaged(from) ? this.#images.finish(session, ctx, from) : makeBase(session, ctx, from, to),
    );
  }

  publish(ctx: Context, ref: VolumeRef, snapshot: string | undefined, _host: Host): Promise<Connection> {
    return this.#use(ctx, `attach '${ref.volname}'`, async (session) => {
      const { found, object } = await target(session, ctx, ref, snapshot);
      if (object.type === "snapshot") await attachSnapshot(session, ctx, object.gid);
      else await attachVolume(session, ctx, found);
      return { kind: "device", path: devicePath(session, object.gid) };
    });
  }

  unpublish(ctx: Context, ref: VolumeRef, snapshot: string | undefined, _host: Host): Promise<boolean> {
    return this.#use(ctx, `detach '${ref.volname}'`, async (session) => {
      const volume = await tryLookUp(session, ctx, ref);
      if (!volume) return true;
      if (snapshot === undefined) return deactivate(session, ctx, volume);
      for (const object of await snapshotsOf(session, ctx, volume.ref.gid, snapshot)) {
        await detach(session, ctx, object);
      }
      return true;
    });
  }

  locate(ctx: Context, ref: VolumeRef, snapshot: string | undefined): Promise<Connection> {
    return this.#use(ctx, `find '${ref.volname}'`, async (session) => {
      const { object } = await target(session, ctx, ref, snapshot);
      return { kind: "device", path: devicePath(session, object.gid) };
    });
  }

  readonly upkeep: Upkeep = {
    needs: (ctx) => this.#use(ctx, "read the configuration", async (session) => needs(session)),
    diagnose: (ctx) => this.#use(ctx, "diagnose", (session) => diagnose(session, ctx)),
    leftovers: (ctx) => this.#use(ctx, "look for leftovers", (session) => leftovers(session, ctx)),
    removeLeftover: (ctx, leftover) =>
      this.#use(ctx, `remove ${leftover.kind} '${leftover.name}'`, (session) =>
        removeLeftover(session, ctx, leftover),
      ),
  };

  async close(): Promise<void> {
    await this.#sessions.close();
  }

  /** Runs `body` with a session; errors say what was done on which storage. */
  async #use<T>(ctx: Context, what: string, body: (session: Session) => Promise<T>): Promise<T> {
    const where = `${what} on storage '${this.environment.storeid}'`;
    try {
      return await this.#sessions.use(ctx, body);
    } catch (error) {
      if (error instanceof BlockioError) throw fail(error.code, `${where}: ${error.message}`, error);
      throw wrap(error, where);
    }
  }
}

/** The object that a volume or its snapshot is. */
async function target(
  session: Session,
  ctx: Context,
  ref: VolumeRef,
  snapshot: string | undefined,
): Promise<{ found: Found; object: StorpoolObject }> {
  const found = await lookUp(session, ctx, ref);
  const object = snapshot === undefined ? found.object : await snapshotOf(session, ctx, found, snapshot);
  return { found, object };
}
