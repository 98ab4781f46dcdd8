// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import type { Bytes } from "../../common/size.js";
import { means } from "./answer.js";
import { type Api, pathOf, queryOf } from "./api.js";
import { keys } from "./names.js";
import { codes } from "./return-code.js";
import { type Definition, definitionSchema } from "./shapes.js";

/** What a change does to properties. */
export interface PropertyChange {
  readonly set?: Readonly<Record<string, string>>;
  readonly unset?: readonly string[];
}

/** The requests for resource definitions. Names are LINSTOR's. */
export class Definitions {
  constructor(private readonly api: Api) {}

  /** All of them, with the sizes of their volumes. */
  async list(ctx: Context): Promise<Definition[]> {
    return this.#list(ctx, { with_volume_definitions: "true" });
  }

  /** Those that have our property with their volume's name. */
  async named(ctx: Context, how: { readonly probe?: boolean } = {}): Promise<Definition[]> {
    return this.#having(ctx, keys.name, how);
  }

  /** Those that make a snapshot readable. */
  exported(ctx: Context): Promise<Definition[]> {
    return this.#having(ctx, keys.export);
  }

  async #having(ctx: Context, key: string, how: { readonly probe?: boolean } = {}): Promise<Definition[]> {
    const all = await this.#list(ctx, { with_volume_definitions: "true", props: key }, how);
    // Whatever the server makes of the filter.
    return all.filter(({ props }) => props[key] !== undefined);
  }

  /** Undefined when LINSTOR says that there is none. */
  async find(
    ctx: Context,
    name: string,
    how: { readonly probe?: boolean } = {},
  ): Promise<Definition | undefined> {
    const query = queryOf({ resource_definitions: name, with_volume_definitions: "true" });
    const found = await this.api.list(
      ctx,
      `look up resource definition '${name}'`,
      `resource-definitions${query}`,
      definitionSchema,
      how,
    );
    return found.find((one) => one.name.toLowerCase() === name.toLowerCase());
  }

  /** Makes a definition of one volume by a group, without resources. Throws `exists`. */
  async spawn(
    ctx: Context,
    group: string,
    name: string,
    spec: { readonly size: Bytes; readonly props: Readonly<Record<string, string>> },
    landed: (ctx: Context) => Promise<boolean>,
  ): Promise<void> {
    await this.#making(
      ctx,
      {
        what: `create resource definition '${name}'`,
        path: `${pathOf("resource-groups", group)}/spawn`,
        body: {
          resource_definition_name: name,
          volume_sizes: [Number(spec.size / 1024n)],
          definitions_only: true,
          resource_definition_props: spec.props,
        },
      },
      landed,
    );
  }

  /** Makes an empty definition, for a snapshot that is restored into it. Throws `exists`. */
  async create(
    ctx: Context,
    name: string,
    spec: {
      readonly group: string;
      readonly props: Readonly<Record<string, string>>;
      readonly layers: readonly string[];
    },
    landed: (ctx: Context) => Promise<boolean>,
  ): Promise<void> {
    await this.#making(
      ctx,
      {
        what: `create resource definition '${name}'`,
        path: "resource-definitions",
        body: {
          resource_definition: {
            name,
            resource_group_name: spec.group,
            props: spec.props,
            layer_data: spec.layers.map((type) => ({ type })),
          },
        },
      },
      landed,
    );
  }

  #list(
    ctx: Context,
    query: Readonly<Record<string, string>>,
    how: { readonly probe?: boolean } = {},
  ): Promise<Definition[]> {
    const path = `resource-definitions${queryOf(query)}`;
    return this.api.list(ctx, "list resource definitions", path, definitionSchema, how);
  }

  async setProperties(ctx: Context, name: string, { set = {}, unset = [] }: PropertyChange): Promise<void> {
    await this.api.change(ctx, {
      what: `set properties of resource definition '${name}'`,
      method: "PUT",
      path: pathOf("resource-definitions", name),
      body: {
        ...(Object.keys(set).length > 0 ? { override_props: set } : {}),
        ...(unset.length > 0 ? { delete_props: unset } : {}),
      },
      repeat: "repeatable",
    });
  }

  /** Grows the volume. */
  async resize(ctx: Context, name: string, size: Bytes): Promise<void> {
    await this.api.change(ctx, {
      what: `resize resource definition '${name}'`,
      method: "PUT",
      path: `${pathOf("resource-definitions", name)}/volume-definitions/0`,
      body: { size_kib: Number(size / 1024n) },
      repeat: "repeatable",
    });
  }

  /** Deletes a definition with its resources. False when LINSTOR says that there was none. */
  async delete(ctx: Context, name: string): Promise<boolean> {
    const entries = await this.api.change(ctx, {
      what: `delete resource definition '${name}'`,
      method: "DELETE",
      path: pathOf("resource-definitions", name),
      repeat: "repeatable",
    });
    return !entries.some(({ code }) => code === codes.absent);
  }

  /** A request that makes an object. One that exists is ours when an earlier attempt got no reply. */
  async #making(
    ctx: Context,
    request: { readonly what: string; readonly path: string; readonly body: unknown },
    landed: (ctx: Context) => Promise<boolean>,
  ): Promise<void> {
    try {
      await this.api.change(ctx, { ...request, method: "POST", repeat: "once", landed });
    } catch (error) {
      if (!means(error, "exists") || !error.afterLost || !(await landed(ctx))) throw error;
    }
  }
}
