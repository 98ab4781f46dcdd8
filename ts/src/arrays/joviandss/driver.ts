// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context, Host } from "../../common/context.js";
import { BlockioError, fail, wrap } from "../../common/errors.js";
import { FileLog } from "../../common/file-log.js";
import { createLogger, type Logger, teeLogger } from "../../common/log.js";
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
import { cloneVolume, createVolume } from "./allocation.js";
import { makeBase, renameVolume, resizeVolume } from "./changes.js";
import { createSnapshot, deleteSnapshot, listSnapshots, rollback, rollbackObstacles } from "./history.js";
import { getVolume, listVolumes } from "./listing.js";
import { requireOwnPrefix } from "./neighbours.js";
import { portalsOf } from "./portals.js";
import { locate, publishSnapshot, publishVolume, renewAccess } from "./publish.js";
import { deleteVolume } from "./removal.js";
import type { JoviandssSection } from "./schema.js";
import { type DriverOptions, type Session, Sessions } from "./session.js";
import { unpublishSnapshot } from "./unpublish.js";
import { diagnose, leftovers, needs, ownerOfTarget, removeLeftover } from "./upkeep.js";

const capabilities: Capabilities = {
  snapshots: true,
  linkedClones: true,
  clonesDependOnBase: true,
  rename: true,
  rollbackToAny: false,
  zeroedOnCreate: true,
  atomicNames: true,
  directories: false,
};

/** A pool of a JovianDSS: zvols behind iSCSI targets of their guests. */
export class JoviandssDriver implements Driver {
  readonly domain: string;
  readonly #sessions: Sessions;
  readonly #file: FileLog;
  readonly #log: Logger;

  constructor(
    private readonly section: JoviandssSection,
    private readonly environment: DriverEnvironment,
    options: DriverOptions = {},
  ) {
    const { pool, controlAddresses, clusterPrefix = "" } = section;
    this.domain = `joviandss:${[...controlAddresses].sort().join(",")}:${pool}:${clusterPrefix}`;
    this.#sessions = new Sessions(section, environment, options);
    this.#file = new FileLog(section.logFile);
    const level = section.debug ? "debug" : "info";
    const write = environment.host.looksOnly ? () => {} : (line: string) => this.#file.write(line);
    this.#log = createLogger({ level, write }).with({
      storeid: environment.storeid,
    });
  }

  async capabilities(): Promise<Capabilities> {
    return capabilities;
  }

  check(ctx: Context): Promise<void> {
    return this.#use(ctx, "check", async (session, inner) => {
      const { pool, targetPrefix, content } = this.section;
      const wrong = content.filter((type) => type !== "images" && type !== "rootdir");
      if (wrong.length > 0)
        throw fail("invalid", `content '${wrong.join(",")}' is not possible; it takes images and rootdir`);
      await requireOwnPrefix(this.environment.storeid, targetPrefix);
      // Throws when its password is missing.
      const chap = session.chap !== undefined;
      await session.client.pool(inner);
      await portalsOf(session, inner, { probe: true });
      inner.log.debug("usable", { pool, users: chap });
    });
  }

  capacity(ctx: Context): Promise<Capacity> {
    return this.#use(ctx, "ask for the capacity", async ({ client }, inner) => {
      const { size: total, available } = await client.pool(inner);
      return { total, available, used: total > available ? total - available : 0n };
    });
  }

  identity(ctx: Context): Promise<string> {
    return this.#use(ctx, "identify", async ({ client, section }, inner) => {
      const { name, id } = await client.pool(inner);
      return ["joviandss", `${name}-${id}`, ...(section.clusterPrefix ? [section.clusterPrefix] : [])].join(
        ":",
      );
    });
  }

  listVolumes(ctx: Context, vmid?: number): Promise<Volume[]> {
    return this.#use(ctx, "list volumes", (session, inner) => listVolumes(session, inner, vmid));
  }

  getVolume(ctx: Context, ref: VolumeRef): Promise<Volume> {
    return this.#use(ctx, `look up '${ref.volname}'`, (session, inner) => getVolume(session, inner, ref));
  }

  createVolume(ctx: Context, ref: VolumeRef, size: Bytes): Promise<VolumeRef> {
    return this.#use(ctx, `create '${ref.volname}'`, (session, inner) =>
      createVolume(session, inner, ref, size),
    );
  }

  deleteVolume(ctx: Context, ref: VolumeRef): Promise<boolean> {
    return this.#use(ctx, `delete '${ref.volname}'`, (session, inner) => deleteVolume(session, inner, ref));
  }

  resizeVolume(ctx: Context, ref: VolumeRef, size: Bytes): Promise<void> {
    return this.#use(ctx, `resize '${ref.volname}'`, (session, inner) =>
      resizeVolume(session, inner, ref, size),
    );
  }

  renameVolume(ctx: Context, from: VolumeRef, to: VolumeRef): Promise<VolumeRef> {
    return this.#use(ctx, `rename '${from.volname}'`, (session, inner) =>
      renameVolume(session, inner, from, to),
    );
  }

  createSnapshot(ctx: Context, ref: VolumeRef, snap: string): Promise<void> {
    return this.#use(ctx, `snapshot '${ref.volname}'`, (session, inner) =>
      createSnapshot(session, inner, ref, snap),
    );
  }

  deleteSnapshot(ctx: Context, ref: VolumeRef, snap: string): Promise<void> {
    return this.#use(ctx, `delete snapshot '${snap}' of '${ref.volname}'`, (session, inner) =>
      deleteSnapshot(session, inner, ref, snap),
    );
  }

  listSnapshots(ctx: Context, ref: VolumeRef): Promise<Snapshot[]> {
    return this.#use(ctx, `list snapshots of '${ref.volname}'`, (session, inner) =>
      listSnapshots(session, inner, ref),
    );
  }

  rollbackObstacles(ctx: Context, ref: VolumeRef, snap: string): Promise<Obstacles | undefined> {
    return this.#use(
      ctx,
      `look what is newer than snapshot '${snap}' of '${ref.volname}'`,
      (session, inner) => rollbackObstacles(session, inner, ref, snap),
    );
  }

  rollback(ctx: Context, ref: VolumeRef, snap: string): Promise<void> {
    return this.#use(ctx, `roll back '${ref.volname}'`, (session, inner) =>
      rollback(session, inner, ref, snap),
    );
  }

  cloneVolume(
    ctx: Context,
    source: VolumeRef,
    snapshot: string | undefined,
    target: VolumeRef,
  ): Promise<VolumeRef> {
    return this.#use(ctx, `clone '${source.volname}'`, (session, inner) =>
      cloneVolume(session, inner, source, snapshot, target),
    );
  }

  makeBase(ctx: Context, from: VolumeRef, to: VolumeRef): Promise<VolumeRef> {
    return this.#use(ctx, `make a base of '${from.volname}'`, (session, inner) =>
      makeBase(session, inner, from, to),
    );
  }

  publish(ctx: Context, ref: VolumeRef, snapshot: string | undefined, _host: Host): Promise<Connection> {
    return this.#use(ctx, `attach '${ref.volname}'`, (session, inner) =>
      snapshot === undefined
        ? publishVolume(session, inner, ref)
        : publishSnapshot(session, inner, ref, snapshot),
    );
  }

  renewAccess(ctx: Context, ref: VolumeRef, snapshot: string | undefined): Promise<void> {
    return this.#use(ctx, `renew the CHAP user of '${ref.volname}'`, (session, inner) =>
      renewAccess(session, inner, ref, snapshot),
    );
  }

  /** A volume stays on its target: the next activation finds it there, and a node that the guest moves to uses it. */
  unpublish(ctx: Context, ref: VolumeRef, snapshot: string | undefined, _host: Host): Promise<boolean> {
    return this.#use(ctx, `detach '${ref.volname}'`, async (session, inner) => {
      if (snapshot !== undefined) await unpublishSnapshot(session, inner, ref, snapshot);
      return true;
    });
  }

  locate(ctx: Context, ref: VolumeRef, snapshot: string | undefined): Promise<Connection> {
    return this.#use(ctx, `find '${ref.volname}'`, (session, inner) => locate(session, inner, ref, snapshot));
  }

  readonly upkeep: Upkeep = {
    needs: async () => needs(this.section),
    diagnose: (ctx) => this.#use(ctx, "diagnose", (session, inner) => diagnose(session, inner)),
    ownerOfTarget: (iqn) => ownerOfTarget(this.section, iqn),
    leftovers: (ctx) => this.#use(ctx, "look for leftovers", (session, inner) => leftovers(session, inner)),
    removeLeftover: (ctx, leftover) =>
      this.#use(ctx, `remove ${leftover.kind} '${leftover.name}'`, (session, inner) =>
        removeLeftover(session, inner, leftover),
      ),
  };

  async close(): Promise<void> {
    await this.#sessions.close();
    await this.#file.close();
  }

  /** Runs `body` with a session and a log that goes to the storage's file too; errors say what was done on which storage. */
  async #use<T>(
    ctx: Context,
    what: string,
    body: (session: Session, ctx: Context) => Promise<T>,
  ): Promise<T> {
    const where = `${what} on storage '${this.environment.storeid}'`;
    const inner = { ...ctx, log: teeLogger(ctx.log, this.#log) };
    const started = performance.now();
    try {
      const result = await this.#sessions.use(inner, (session) => body(session, inner));
      this.#log.debug(what, { ms: Math.round(performance.now() - started) });
      return result;
    } catch (error) {
      this.#log.error(what, { ms: Math.round(performance.now() - started), error });
      if (error instanceof BlockioError) throw fail(error.code, `${where}: ${error.message}`, error);
      throw wrap(error, where);
    }
  }
}
