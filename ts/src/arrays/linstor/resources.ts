// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import { type Api, pathOf, queryOf } from "./api.js";
import { connectionSchema, type Resource, type ResourceConnection, resourceSchema } from "./shapes.js";

/** The requests for resources, the definitions on nodes. Names are LINSTOR's. */
export class Resources {
  constructor(private readonly api: Api) {}

  /** All of them, or those of one definition, with their state. */
  async view(ctx: Context, definition?: string, how: { readonly probe?: boolean } = {}): Promise<Resource[]> {
    const what = definition === undefined ? "list resources" : `look up resources of '${definition}'`;
    const path = `view/resources${queryOf({ resources: definition })}`;
    const all = await this.api.list(ctx, what, path, resourceSchema, how);
    return definition === undefined
      ? all
      : all.filter(({ name }) => name.toLowerCase() === definition.toLowerCase());
  }

  /** Makes a definition reachable on a node, with a replica there when `diskful`. */
  async makeAvailable(
    ctx: Context,
    definition: string,
    node: string,
    { diskful }: { readonly diskful: boolean },
  ): Promise<void> {
    await this.api.change(ctx, {
      what: `make '${definition}' available on node '${node}'`,
      method: "POST",
      path: `${pathOf("resource-definitions", definition, "resources", node)}/make-available`,
      body: { diskful },
      repeat: "repeatable",
    });
  }

  /** Adds replicas up to the place count of the group. */
  async autoplace(ctx: Context, definition: string): Promise<void> {
    await this.api.change(ctx, {
      what: `place replicas of '${definition}'`,
      method: "POST",
      path: `${pathOf("resource-definitions", definition)}/autoplace`,
      body: {},
      repeat: "repeatable",
    });
  }

  /** Takes a definition off a node, where a tie-breaker stays. Throws `busy`. */
  async delete(ctx: Context, definition: string, node: string): Promise<void> {
    await this.api.change(ctx, {
      what: `take '${definition}' off node '${node}'`,
      method: "DELETE",
      path: `${pathOf("resource-definitions", definition, "resources", node)}${queryOf({ keep_tiebreaker: "true" })}`,
      repeat: "repeatable",
    });
  }

  /** The connections of a definition that have properties of their own. */
  async connections(ctx: Context, definition: string): Promise<ResourceConnection[]> {
    const path = `${pathOf("resource-definitions", definition)}/resource-connections`;
    return this.api.list(ctx, `list connections of '${definition}'`, path, connectionSchema);
  }

  async setConnection(
    ctx: Context,
    definition: string,
    [a, b]: readonly [string, string],
    change: { readonly set?: Readonly<Record<string, string>>; readonly unset?: readonly string[] },
  ): Promise<void> {
    await this.api.change(ctx, {
      what: `set the connection of '${definition}' between '${a}' and '${b}'`,
      method: "PUT",
      path: pathOf("resource-definitions", definition, "resource-connections", a, b),
      body: {
        ...(change.set ? { override_props: change.set } : {}),
        ...(change.unset ? { delete_props: change.unset } : {}),
      },
      repeat: "repeatable",
    });
  }
}
