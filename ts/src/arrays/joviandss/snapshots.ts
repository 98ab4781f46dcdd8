// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import { means } from "./answer.js";
import type { Api } from "./api.js";
import {
  cloneSchema,
  type JovianSnapshot,
  namedSnapshotSchema,
  rollbackSchema,
  snapshotNameSchema,
  snapshotSchema,
} from "./shapes.js";
import { nameOf } from "./volumes.js";

/** The requests for snapshots of zvols. Names are the array's. */
export class Snapshots {
  constructor(
    private readonly api: Api,
    /** For one attempt to roll back or to delete. */
    private readonly limitMs = 300_000,
  ) {}

  /** Every snapshot of a volume, also those that are not ours. */
  async list(ctx: Context, volume: string): Promise<JovianSnapshot[]> {
    const what = `list snapshots of volume '${volume}'`;
    const rows = await this.api.pages(ctx, what, this.#path(volume));
    return rows.map((row) => this.api.decode(what, snapshotSchema, row));
  }

  /** Every snapshot of all volumes of the pool, with its volume. */
  async listPool(ctx: Context): Promise<{ readonly volume: string; readonly name: string }[]> {
    const what = "list snapshots of the pool";
    const rows = await this.api.pages(ctx, what, this.api.path("volumes/snapshots"));
    return rows.map((row) => this.api.decode(what, snapshotNameSchema, row));
  }

  /** Throws `absent` when the array says so. */
  get(ctx: Context, volume: string, name: string): Promise<JovianSnapshot> {
    return this.api.get(
      ctx,
      this.#what("look up", volume, name),
      this.#path(volume, name),
      namedSnapshotSchema(name),
    );
  }

  find(ctx: Context, volume: string, name: string): Promise<JovianSnapshot | undefined> {
    return this.api.find(
      ctx,
      this.#what("look up", volume, name),
      this.#path(volume, name),
      namedSnapshotSchema(name),
    );
  }

  /** Names of the zvols that were cloned from a snapshot. */
  clones(ctx: Context, volume: string, name: string): Promise<string[]> {
    const what = this.#what("list clones of", volume, name);
    return this.api.list(ctx, what, `${this.#path(volume, name)}/clones`, cloneSchema);
  }

  /**
   * Makes a snapshot. The caller has looked that there is none: after a lost reply one of this name is taken for the one
   * that was asked for. Throws `exists`.
   */
  async create(ctx: Context, volume: string, name: string): Promise<void> {
    const landed = async (asker: Context) => (await this.find(asker, volume, name)) !== undefined;
    try {
      await this.api.send(ctx, {
        what: this.#what("create", volume, name),
        method: "POST",
        path: this.#path(volume),
        body: { snapshot_name: nameOf(name) },
        repeat: "once",
        landed,
      });
    } catch (error) {
      if (!means(error, "exists") || !error.afterLost) throw error;
    }
  }

  /** Deletes a snapshot; `busy` while it has clones. False when the array says that there was none. */
  async delete(ctx: Context, volume: string, name: string): Promise<boolean> {
    try {
      await this.api.send(ctx, {
        what: this.#what("delete", volume, name),
        method: "DELETE",
        path: this.#path(volume, name),
        body: {},
        repeat: "repeatable",
        limitMs: this.limitMs,
      });
      return true;
    } catch (error) {
      if (means(error, "absent")) return error.afterLost;
      throw error;
    }
  }

  /** How many snapshots and clones are newer than a snapshot: a rollback would lose them, or fail. */
  rollbackLoss(
    ctx: Context,
    volume: string,
    name: string,
  ): Promise<{ readonly snapshots: number; readonly clones: number }> {
    const what = this.#what("ask what a rollback would lose:", volume, name);
    return this.api.get(ctx, what, `${this.#path(volume, name)}/rollback`, rollbackSchema);
  }

  /**
   * Brings content and size of a snapshot back, and destroys newer snapshots without asking. Not repeated after a lost
   * reply: a snapshot that was made meanwhile would be lost.
   */
  async rollback(ctx: Context, volume: string, name: string): Promise<void> {
    await this.api.send(ctx, {
      what: this.#what("roll back to", volume, name),
      method: "POST",
      path: `${this.#path(volume, name)}/rollback`,
      repeat: "once",
      limitMs: this.limitMs,
    });
  }

  #what(verb: string, volume: string, name: string): string {
    return `${verb} snapshot '${name}' of volume '${volume}'`;
  }

  #path(volume: string, ...name: readonly string[]): string {
    return this.api.path("volumes", nameOf(volume), "snapshots", ...name.map(nameOf));
  }
}
