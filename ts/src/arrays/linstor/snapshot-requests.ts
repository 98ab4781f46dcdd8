// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import { means } from "./answer.js";
import { type Api, pathOf, queryOf } from "./api.js";
import { codes } from "./return-code.js";
import { type LinstorSnapshot, snapshotSchema } from "./shapes.js";

/** A snapshot to be taken. */
export interface NewSnapshot {
  readonly definition: string;
  readonly name: string;
  readonly props: Readonly<Record<string, string>>;
}

/** The requests for snapshots. Names are LINSTOR's. */
export class Snapshots {
  constructor(private readonly api: Api) {}

  /** Those of one definition, oldest first. */
  async list(ctx: Context, definition: string): Promise<LinstorSnapshot[]> {
    const what = `list snapshots of '${definition}'`;
    const path = `view/snapshots${queryOf({ resources: definition })}`;
    const all = await this.api.list(ctx, what, path, snapshotSchema);
    return all
      .filter((one) => one.definition.toLowerCase() === definition.toLowerCase())
      .sort((a, b) => a.created - b.created);
  }

  /** Takes snapshots at one instant, or one alone. Throws `exists`. */
  async create(
    ctx: Context,
    wanted: readonly [NewSnapshot, ...NewSnapshot[]],
    landed: (ctx: Context) => Promise<boolean>,
  ): Promise<void> {
    const [first] = wanted;
    const one = wanted.length === 1;
    const body = ({ definition, name, props }: NewSnapshot) => ({
      name,
      ...(one ? {} : { resource_name: definition }),
      ...(Object.keys(props).length > 0 ? { snapshot_definition_props: props } : {}),
    });
    try {
      await this.api.change(ctx, {
        what: `take snapshot '${first.name}' of ${wanted.map(({ definition }) => `'${definition}'`).join(", ")}`,
        method: "POST",
        path: one
          ? `${pathOf("resource-definitions", first.definition)}/snapshots`
          : "actions/snapshot/multi",
        body: one ? body(first) : { snapshots: wanted.map(body) },
        repeat: "once",
        landed,
      });
    } catch (error) {
      if (!means(error, "exists") || !error.afterLost || !(await landed(ctx))) throw error;
    }
  }

  /** Changes what is recorded with a snapshot. */
  async setProperties(
    ctx: Context,
    { definition, name }: { readonly definition: string; readonly name: string },
    { unset }: { readonly unset: readonly string[] },
  ): Promise<void> {
    await this.api.change(ctx, {
      what: `set properties of snapshot '${name}' of '${definition}'`,
      method: "PUT",
      path: pathOf("resource-definitions", definition, "snapshots", name),
      body: { delete_props: unset },
      repeat: "repeatable",
    });
  }

  /** False when LINSTOR says that there was none. */
  async delete(ctx: Context, definition: string, name: string): Promise<boolean> {
    const entries = await this.api.change(ctx, {
      what: `delete snapshot '${name}' of '${definition}'`,
      method: "DELETE",
      path: pathOf("resource-definitions", definition, "snapshots", name),
      repeat: "repeatable",
    });
    return !entries.some(({ code }) => code === codes.absent);
  }

  /** Copies the size of a snapshot into a definition without volumes, and the definition's properties too. */
  async restoreVolume(
    ctx: Context,
    from: Restored,
    landed: (ctx: Context) => Promise<boolean>,
  ): Promise<void> {
    await this.#restore(ctx, "snapshot-restore-volume-definition", from, {}, landed);
  }

  /** Makes resources of a snapshot on some of its nodes. */
  async restoreResource(
    ctx: Context,
    from: Restored & { readonly nodes: readonly string[] },
    landed: (ctx: Context) => Promise<boolean>,
  ): Promise<void> {
    await this.#restore(ctx, "snapshot-restore-resource", from, { nodes: from.nodes }, landed);
  }

  /**
   * Brings content and size of a snapshot back. Not repeated after a lost reply. `strategy`: for servers that know it.
   */
  async rollback(ctx: Context, definition: string, name: string, strategy?: "dynamic"): Promise<void> {
    await this.api.change(ctx, {
      what: `roll '${definition}' back to snapshot '${name}'`,
      method: "POST",
      path: pathOf("resource-definitions", definition, "snapshot-rollback", name),
      body: strategy === undefined ? {} : { zfs_rollback_strategy: strategy },
      repeat: "once",
    });
  }

  async #restore(
    ctx: Context,
    verb: string,
    { definition, name, target }: Restored,
    more: object,
    landed: (ctx: Context) => Promise<boolean>,
  ): Promise<void> {
    try {
      await this.api.change(ctx, {
        what: `restore snapshot '${name}' of '${definition}' into '${target}'`,
        method: "POST",
        path: pathOf("resource-definitions", definition, verb, name),
        body: { to_resource: target, ...more },
        repeat: "once",
        landed,
      });
    } catch (error) {
      if (!means(error, "exists") || !error.afterLost || !(await landed(ctx))) throw error;
    }
  }
}

/** What is restored into what. */
export interface Restored {
  readonly definition: string;
  readonly name: string;
  readonly target: string;
}
