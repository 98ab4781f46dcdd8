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
  Obstacles,
  Snapshot,
  Upkeep,
  Volume,
  VolumeRef,
} from "../contract.js";
import { createVolume } from "./allocation.js";
import { capabilitiesOf } from "./capabilities.js";
import { makeBase, renameVolume, resizeVolume } from "./changes.js";
import { cloneVolume } from "./clone.js";
import { originOf } from "./controllers.js";
import { locateSnapshot, publishSnapshot, unpublishSnapshot } from "./exports.js";
import { getVolume, listVolumes, sizeInfo } from "./listing.js";
import { locateVolume, publishVolume, unpublishVolume } from "./publish.js";
import { deleteVolume } from "./removal.js";
import { rollback, rollbackObstacles } from "./rollback.js";
import type { LinstorSection } from "./schema.js";
import { type DriverOptions, type Session, Sessions } from "./session.js";
import { createSnapshot, deleteSnapshot, listSnapshots } from "./snapshots.js";
import { diagnose, needs } from "./upkeep.js";

/** How long pools and version of a server are taken for granted, in milliseconds. */
const capabilitiesMs = 60_000;

/** A resource group of LINSTOR: volumes are resource definitions, replicated and reached by DRBD. */
export class LinstorDriver implements Driver {
  readonly domain: string;
  readonly #sessions: Sessions;
  #known: { readonly capabilities: Capabilities; readonly until: number } | undefined;

  constructor(
    private readonly section: LinstorSection,
    private readonly environment: DriverEnvironment,
    options: DriverOptions = {},
  ) {
    const controllers = section.controllers.map((one) => originOf(one, false).replace(/^https?:\/\//, ""));
    this.domain = `linstor:${controllers.sort().join(",")}:${section.group.toLowerCase()}`;
    this.#sessions = new Sessions(section, environment, options);
  }

  capabilities(ctx: Context): Promise<Capabilities> {
    return this.#use(ctx, "ask what its pools can do", async (session) => {
      if (this.#known && performance.now() < this.#known.until) return this.#known.capabilities;
      const capabilities = await capabilitiesOf(session, ctx);
      this.#known = { capabilities, until: performance.now() + capabilitiesMs };
      return capabilities;
    });
  }

  check(ctx: Context): Promise<void> {
    return this.#use(
      ctx,
      "check",
      async ({ client, section }) => void (await client.group(ctx, section.group)),
    );
  }

  capacity(ctx: Context): Promise<Capacity> {
    return this.#use(ctx, "ask for the capacity", async ({ client, section }) => {
      const { total, available } = await client.capacity(ctx, section.group, section.statusCache);
      return { total, available, used: total - available };
    });
  }

  identity(ctx: Context): Promise<string> {
    return this.#use(ctx, "identify", async ({ client, section }) => {
      const { name, uuid } = await client.group(ctx, section.group);
      return ["linstor", name, uuid].join(":");
    });
  }

  listVolumes(ctx: Context, vmid?: number): Promise<Volume[]> {
    return this.#use(ctx, "list volumes", (session) => listVolumes(session, ctx, vmid));
  }

  getVolume(ctx: Context, ref: VolumeRef): Promise<Volume> {
    return this.#use(ctx, `look up '${ref.volname}'`, (session) => getVolume(session, ctx, ref));
  }

  sizeInfo(ctx: Context, ref: VolumeRef): Promise<Volume> {
    return this.#use(ctx, `look up '${ref.volname}'`, (session) => sizeInfo(session, ctx, ref));
  }

  createVolume(ctx: Context, ref: VolumeRef, size: Bytes): Promise<VolumeRef> {
    return this.#use(ctx, `create '${ref.volname}'`, (session) => createVolume(session, ctx, ref, size));
  }

  deleteVolume(ctx: Context, ref: VolumeRef): Promise<boolean> {
    return this.#use(ctx, `delete '${ref.volname}'`, (session) => deleteVolume(session, ctx, ref));
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

  rollbackObstacles(ctx: Context, ref: VolumeRef, snap: string): Promise<Obstacles | undefined> {
    return this.#use(ctx, `look what is newer than snapshot '${snap}' of '${ref.volname}'`, (session) =>
      rollbackObstacles(session, ctx, ref, snap),
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
    return this.#use(ctx, `make a base of '${from.volname}'`, (session) => makeBase(session, ctx, from, to));
  }

  publish(ctx: Context, ref: VolumeRef, snapshot: string | undefined, _host: Host): Promise<Connection> {
    return this.#use(ctx, `attach '${ref.volname}'`, (session) =>
      snapshot === undefined
        ? publishVolume(session, ctx, ref)
        : publishSnapshot(session, ctx, ref, snapshot),
    );
  }

  unpublish(ctx: Context, ref: VolumeRef, snapshot: string | undefined, _host: Host): Promise<boolean> {
    return this.#use(ctx, `detach '${ref.volname}'`, async (session) => {
      if (snapshot === undefined) return unpublishVolume(session, ctx, ref);
      await unpublishSnapshot(session, ctx, ref, snapshot);
      return true;
    });
  }

  locate(ctx: Context, ref: VolumeRef, snapshot: string | undefined): Promise<Connection> {
    return this.#use(ctx, `find '${ref.volname}'`, (session) =>
      snapshot === undefined ? locateVolume(session, ctx, ref) : locateSnapshot(session, ctx, ref, snapshot),
    );
  }

  readonly upkeep: Upkeep = {
    needs: async () => needs(this.section),
    diagnose: (ctx) => this.#use(ctx, "diagnose", (session) => diagnose(session, ctx)),
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
