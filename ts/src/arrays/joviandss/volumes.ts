// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";
import type { Context } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import type { Bytes } from "../../common/size.js";
import { waitUntil } from "../../common/wait.js";
import { means } from "./answer.js";
import type { Api } from "./api.js";
import { type JovianVolume, volumeSchema } from "./shapes.js";

/** How long changes are waited for that the array makes visible later, in milliseconds. */
export interface VolumePatience {
  readonly resizeMs: number;
  readonly renameMs: number;
  /** For one attempt to delete: many snapshots take minutes. */
  readonly deleteMs: number;
}

export const usualPatience: VolumePatience = { resizeMs: 10_000, renameMs: 55_000, deleteMs: 300_000 };

/** What a new volume is like. */
export interface VolumeSpec {
  readonly size: Bytes;
  readonly thin: boolean;
  /** Such as `16K`. */
  readonly blockSize: string;
}

/** The requests for zvols. Names are the array's. */
export class Volumes {
  constructor(
    private readonly api: Api,
    private readonly patience: VolumePatience = usualPatience,
  ) {}

  /** Every zvol of the pool, also those that are not ours. May lag: what is missing is asked for by name. */
  async list(ctx: Context): Promise<JovianVolume[]> {
    const rows = await this.api.pages(ctx, "list volumes", this.api.path("volumes"));
    return rows.flatMap((row) => {
      const result = volumeSchema.safeParse(row);
      if (result.success) return [result.data];
      const [issue] = result.error.issues;
      ctx.log.warn("a row is left out of the list of volumes", { lacks: issue?.path.join(".") });
      return [];
    });
  }

  /** Throws `absent` when the array says so. */
  get(ctx: Context, name: string): Promise<JovianVolume> {
    return this.api.get(ctx, `look up volume '${name}'`, this.#path(name), volumeSchema);
  }

  find(ctx: Context, name: string): Promise<JovianVolume | undefined> {
    return this.api.find(ctx, `look up volume '${name}'`, this.#path(name), volumeSchema);
  }

  /**
   * Makes a volume. The caller has looked that there is none: after a lost reply one of this name and size is taken for
   * the one that was asked for. Throws `exists`.
   */
  async create(ctx: Context, name: string, { size, thin, blockSize }: VolumeSpec): Promise<void> {
    const body = { name: nameOf(name), size: sizeText(size), sparse: thin, blocksize: blockSize };
    await this.#making(ctx, `create volume '${name}'`, this.api.path("volumes"), body, async (asker) => {
      const found = await this.find(asker, name);
      // The array may have rounded down, by less than the largest block.
      return (
        found !== undefined &&
        found.origin === undefined &&
        found.size <= size &&
        size - found.size < 1n << 20n
      );
    });
  }

  /** Makes a clone of a snapshot, as large as that is. The caller has looked that there is none. Throws `exists`. */
  async clone(
    ctx: Context,
    from: { readonly volume: string; readonly snapshot: string },
    name: string,
    how: { readonly thin: boolean; readonly readOnly?: boolean },
  ): Promise<void> {
    const body = {
      name: nameOf(name),
      snapshot: from.snapshot,
      sparse: how.thin,
      readonly: how.readOnly ?? false,
    };
    const what = `clone volume '${name}' of '${from.volume}@${from.snapshot}'`;
    await this.#making(ctx, what, `${this.#path(from.volume)}/clone`, body, async (asker) => {
      const { origin } = (await this.find(asker, name)) ?? {};
      return origin?.volume === from.volume && origin.snapshot === from.snapshot;
    });
  }

  /** Grows a volume and waits until the array shows it. */
  async resize(ctx: Context, name: string, size: Bytes): Promise<void> {
    const what = `resize volume '${name}'`;
    const has = async (asker: Context) => (await this.get(asker, name)).size >= size;
    await this.#put(ctx, what, name, { size: sizeText(size) }, has);
    if (await waitUntil(() => has(ctx), this.patience.resizeMs, ctx.signal)) return;
    throw fail("timeout", `${what}: JovianDSS does not show the new size of ${size} bytes; look at it there`);
  }

  /**
   * Gives a volume another name and waits until it can be asked for by that. It must not be attached. `guid` is its own, so
   * that nobody else's volume is taken for it.
   */
  async rename(ctx: Context, from: string, to: string, guid?: string): Promise<void> {
    const what = `rename volume '${from}' to '${to}'`;
    const has = async (asker: Context) => {
      const found = await this.find(asker, to);
      return found !== undefined && (guid === undefined || found.guid === guid);
    };
    try {
      await this.#put(ctx, what, from, { name: nameOf(to) }, has);
    } catch (error) {
      // Our own work, when an earlier attempt got no reply.
      const settled = means(error, "absent", "exists") && error.afterLost;
      if (!settled || (await this.find(ctx, from)) !== undefined) throw error;
    }
    if (await waitUntil(() => has(ctx), this.patience.renameMs, ctx.signal)) return;
    throw fail("timeout", `${what}: JovianDSS does not know the new name yet; look at it there`);
  }

  /** Makes a volume take no writes, or take them again. */
  async setReadOnly(ctx: Context, name: string, on: boolean): Promise<void> {
    await this.api.send(ctx, {
      what: `make volume '${name}' ${on ? "read-only" : "writable"}`,
      method: "PUT",
      path: `${this.#path(name)}/properties`,
      body: { property_name: "readonly", property_value: on ? "on" : "off" },
      repeat: "repeatable",
    });
  }

  async setThin(ctx: Context, name: string, thin: boolean): Promise<void> {
    const body = { provisioning: thin ? "thin" : "thick" };
    await this.#put(ctx, `set the provisioning of volume '${name}'`, name, body);
  }

  /**
   * Deletes a volume, with its snapshots when `recursive`; never its clones. False when the array says that there was
   * none.
   */
  async delete(ctx: Context, name: string, { recursive }: { readonly recursive: boolean }): Promise<boolean> {
    try {
      await this.api.send(ctx, {
        what: `delete volume '${name}'`,
        method: "DELETE",
        path: this.#path(name),
        body: recursive ? { recursively_children: true } : {},
        repeat: "repeatable",
        limitMs: this.patience.deleteMs,
      });
      return true;
    } catch (error) {
      if (means(error, "absent")) return error.afterLost;
      throw error;
    }
  }

  /** A request that makes an object. One that exists is ours when an earlier attempt got no reply. */
  async #making(
    ctx: Context,
    what: string,
    path: string,
    body: unknown,
    landed: (ctx: Context) => Promise<boolean>,
  ): Promise<void> {
    try {
      await this.api.send(ctx, { what, method: "POST", path, body, repeat: "once", landed });
    } catch (error) {
      if (!means(error, "exists") || !error.afterLost || !(await landed(ctx))) throw error;
    }
  }

  async #put(
    ctx: Context,
    what: string,
    name: string,
    body: unknown,
    landed?: (ctx: Context) => Promise<boolean>,
  ): Promise<void> {
    await this.api.send(ctx, {
      what,
      method: "PUT",
      path: this.#path(name),
      body,
      repeat: "repeatable",
      ...(landed ? { landed } : {}),
    });
  }

  #path(name: string): string {
    return this.api.path("volumes", nameOf(name));
  }
}

const objectName = z.string().regex(/^[A-Za-z0-9_-]{1,256}$/);

/** A name that the array can have, and that needs no encoding in a path. */
export function nameOf(name: string): string {
  if (objectName.safeParse(name).success) return name;
  throw fail("internal", `'${name}' is no name of JovianDSS; update pve-blockio`);
}

/** A size as the array takes it. */
function sizeText(size: Bytes): string {
  if (size > 0n && size % 512n === 0n) return size.toString();
  throw fail("invalid", `size of ${size} bytes: JovianDSS needs a multiple of 512 above 0; round it up`);
}
