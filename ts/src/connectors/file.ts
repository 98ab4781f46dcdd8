// SPDX-License-Identifier: AGPL-3.0-or-later
import { type Connector, pathOf } from "./connector.js";

/** A file on a mounted file system: reachable as it lies. */
export const fileConnector: Connector = {
  path: (connection) => pathOf(connection, "file"),
  async connect(_ctx, connection) {
    return pathOf(connection, "file");
  },
  async disconnect() {
    // Nothing was set up.
  },
  async refresh() {
    // A file shows its size.
  },
};
