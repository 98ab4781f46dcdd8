// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Connection } from "../arrays/contract.js";
import type { Context } from "../common/context.js";
import { fail } from "../common/errors.js";
import { KeyedLocks } from "../common/locks.js";
import type { Connector } from "./connector.js";
import type { DeviceLayer } from "./device-layer.js";
import { removeLink, setLink } from "./link.js";
import { ScsiDisk } from "./scsi-disk.js";

type Fc = Extract<Connection, { kind: "fc" }>;

/**
 * Volumes behind Fibre Channel ports. The fabric connects by itself; only the LUN is looked for, at exactly the ports that
 * export it. Proved on fake trees of the kernel's files only, never on hardware.
 */
export class FcConnector implements Connector {
  readonly #locks = new KeyedLocks();

  constructor(
    private readonly layer: DeviceLayer,
    private readonly root = "/",
  ) {}

  path(_connection: Connection, link: string): string {
    return link;
  }

  connect(ctx: Context, connection: Connection, link: string): Promise<string> {
    return this.#with(ctx, connection, "connect", async (disk, { wwpns, lun }) => {
      const seen = (await Promise.all(wwpns.map((wwpn) => this.layer.fcTargets(this.root, wwpn)))).flat();
      const online = seen.filter(({ state }) => state === "Online");
      if (online.length === 0) {
        throw fail(
          "unreachable",
          `connect LUN ${lun}: no FC host of this node sees a port of ${wwpns.join(", ")}; check cabling and zoning`,
        );
      }
      const at = online.map(({ host, channel, target }) => ({ host, channel, target, lun }));
      await disk.scan(ctx, at);
      await setLink(link, await disk.assemble(ctx, at));
      return link;
    });
  }

  disconnect(ctx: Context, connection: Connection, link: string): Promise<void> {
    return this.#with(ctx, connection, "disconnect", async (disk) => {
      await disk.remove(ctx);
      await removeLink(link);
    });
  }

  refresh(ctx: Context, connection: Connection, size: bigint): Promise<void> {
    return this.#with(ctx, connection, "resize", (disk) => disk.refresh(size));
  }

  async #with<T>(
    ctx: Context,
    connection: Connection,
    what: string,
    body: (disk: ScsiDisk, fc: Fc) => Promise<T>,
  ): Promise<T> {
    if (connection.kind !== "fc")
      throw fail("internal", `fc connector was given a '${connection.kind}' connection`);
    const { lun, wwid } = connection;
    const release = await this.#locks.acquire([wwid], ctx.signal);
    try {
      return await body(new ScsiDisk(this.layer, wwid, `${what} LUN ${lun} over FC`, this.root), connection);
    } finally {
      release();
    }
  }
}
