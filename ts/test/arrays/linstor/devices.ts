// SPDX-License-Identifier: AGPL-3.0-or-later
import type { LinstorSimulator } from "../../../sim/linstor/index.js";
import type { Connection } from "../../../src/arrays/contract.js";
import type { Context } from "../../../src/common/context.js";
import { fail } from "../../../src/common/errors.js";
import { waitUntil } from "../../../src/common/wait.js";
import type { Connector } from "../../../src/connectors/connector.js";
import { removeLink, setLink } from "../../../src/connectors/link.js";

/** A node's DRBD devices that the simulator only knows of. */
export class ImaginedDevices implements Connector {
  constructor(
    private readonly sim: LinstorSimulator,
    private readonly node: string,
  ) {}

  path(_connection: Connection, link: string): string {
    return link;
  }

  async connect(ctx: Context, connection: Connection, link: string): Promise<string> {
    const definition = definitionOf(connection);
    const there = async () => this.sim.device(this.node, definition) !== undefined;
    if (!(await waitUntil(there, 2_000, ctx.signal)))
      throw fail("unreachable", `no device of '${definition}' on ${this.node}`);
    await setLink(link, connection.kind === "drbd" ? connection.path : "");
    return link;
  }

  async disconnect(_ctx: Context, connection: Connection, link: string): Promise<void> {
    const definition = this.sim.state.definitions.get(definitionOf(connection));
    const said = definition?.resources.get(this.node)?.said;
    if (said !== undefined && said !== "closed") throw fail("busy", "it is open");
    await removeLink(link);
  }

  async released(): Promise<void> {
    // Nothing is left.
  }

  async refresh(): Promise<void> {
    // Nothing to be seen.
  }
}

function definitionOf(connection: Connection): string {
  const path = connection.kind === "drbd" ? connection.path : "";
  return /\/by-res\/([^/]+)\/0$/.exec(path)?.[1] ?? "";
}
