// SPDX-License-Identifier: AGPL-3.0-or-later
import { lstat, stat } from "node:fs/promises";
import { codeOf, fail } from "../common/errors.js";
import { waitUntil } from "../common/wait.js";
import { type Connector, pathOf } from "./connector.js";

/** How long a device may take to come or go after the array said so, in milliseconds. */
const settleMs = 10_000;

/** A block device that the array's own client puts on this node: waited for, both ways. */
export const deviceConnector: Connector = {
  path: (connection) => pathOf(connection, "device"),
  async connect(ctx, connection) {
    const path = pathOf(connection, "device");
    if (!(await waitUntil(() => isBlockDevice(path), settleMs, ctx.signal))) {
      throw fail(
        "unreachable",
        `device '${path}' did not appear within ${settleMs / 1000} s; check the array's client on this node`,
      );
    }
    return path;
  },
  async disconnect() {
    // The array refuses to take away what is open.
  },
  async released(ctx, connection) {
    const path = pathOf(connection, "device");
    if (!(await waitUntil(() => isGone(path), settleMs, ctx.signal))) {
      throw fail(
        "busy",
        `device '${path}' is still there ${settleMs / 1000} s after its detachment; check the array's client on this node`,
      );
    }
  },
  async refresh() {
    // The array's client does that.
  },
};

async function isBlockDevice(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isBlockDevice(),
    (error: unknown) => unlessAbsent(error, false),
  );
}

async function isGone(path: string): Promise<boolean> {
  return lstat(path).then(
    () => false,
    (error: unknown) => unlessAbsent(error, true),
  );
}

function unlessAbsent(error: unknown, answer: boolean): boolean {
  if (codeOf(error) === "absent") return answer;
  throw error;
}
