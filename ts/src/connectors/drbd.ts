// SPDX-License-Identifier: AGPL-3.0-or-later
import { stat } from "node:fs/promises";
import type { Connection } from "../arrays/contract.js";
import { blockDeviceSize, kernelName } from "../common/block-device.js";
import type { Context } from "../common/context.js";
import { codeOf, fail } from "../common/errors.js";
import { findProgram, run } from "../common/process.js";
import type { Bytes } from "../common/size.js";
import { waitUntil } from "../common/wait.js";
import type { Connector } from "./connector.js";
import type { DeviceLayer } from "./device-layer.js";
import { removeLink, setLink } from "./link.js";

/** How long udev may take for the device's name, and the kernel for a new size, after LINSTOR is done; in milliseconds. */
const settleMs = 10_000;

/**
 * DRBD's devices. LINSTOR puts them on the node and takes them away; the satellite can answer before udev has named the
 * device. DRBD promotes it when it is opened for writing, and demotes it when it is closed.
 */
export class DrbdConnector implements Connector {
  constructor(
    private readonly layer: Pick<DeviceLayer, "deviceUsers">,
    private readonly root = "/",
  ) {}

  path(_connection: Connection, link: string): string {
    return link;
  }

  async connect(ctx: Context, connection: Connection, link: string): Promise<string> {
    const path = devicePath(connection);
    if (!(await isBlockDevice(path))) await this.#settleUdev(ctx);
    if (!(await waitUntil(() => isBlockDevice(path), settleMs, ctx.signal)))
      throw fail(
        "unreachable",
        `device '${path}' did not appear within ${settleMs / 1000} s; look at drbdadm status and the satellite's log`,
      );
    await setLink(link, path);
    return link;
  }

  async disconnect(ctx: Context, connection: Connection, link: string): Promise<void> {
    ctx.signal.throwIfAborted();
    const node = await kernelName(devicePath(connection));
    if (node !== undefined) {
      const users = await this.layer.deviceUsers(this.root, node).catch((error: unknown) => {
        // It went away while we looked.
        if (codeOf(error) === "absent") return [];
        throw error;
      });
      if (users.length > 0)
        throw fail("busy", `device '${node}' is in use by ${users.join(", ")}; stop that first`);
    }
    await removeLink(link);
  }

  async refresh(ctx: Context, connection: Connection, size: Bytes): Promise<void> {
    const path = devicePath(connection);
    const grown = async () => {
      const found = await blockDeviceSize(path, this.root);
      return found === undefined || found >= size;
    };
    if (await waitUntil(grown, settleMs, ctx.signal)) return;
    throw fail(
      "timeout",
      `device '${path}' has not the size of ${size} bytes within ${settleMs / 1000} s; look at drbdadm status`,
    );
  }

  async #settleUdev(ctx: Context): Promise<void> {
    const udevadm = await findProgram("udevadm", this.root);
    if (udevadm === undefined) return;
    const limits = { signal: ctx.signal, limitMs: settleMs };
    await run(udevadm, ["settle", "--timeout=5"], limits).catch((error: unknown) => {
      ctx.log.warn("udev does not settle", { error });
    });
  }
}

function devicePath(connection: Connection): string {
  if (connection.kind === "drbd") return connection.path;
  throw fail("internal", `drbd connector was given a '${connection.kind}' connection`);
}

async function isBlockDevice(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isBlockDevice(),
    (error: unknown) => {
      if (codeOf(error) === "absent") return false;
      throw error;
    },
  );
}
