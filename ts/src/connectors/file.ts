// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Connection } from "../arrays/contract.js";
import { fail } from "../common/errors.js";
import type { Connector } from "./connector.js";

function pathOf(connection: Connection): string {
  if (connection.kind !== "file")
    throw fail("internal", `file connector was given a '${connection.kind}' connection`);
  return connection.path;
}

/** A file on a mounted file system: reachable as it lies. */
export const fileConnector: Connector = {
  path: pathOf,
  async connect(_ctx, connection) {
    return pathOf(connection);
  },
  async disconnect() {
    // Nothing was set up.
  },
  async released() {
    // Nor is anything left.
  },
};
