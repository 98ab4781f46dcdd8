// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Connection } from "../arrays/contract.js";
import { fail } from "../common/errors.js";
import type { Connector } from "./connector.js";
import { deviceConnector } from "./device.js";
import { fileConnector } from "./file.js";

const connectors: Partial<Record<Connection["kind"], Connector>> = {
  file: fileConnector,
  device: deviceConnector,
};

/** Throws `unsupported` for a kind that this build cannot connect. */
export function connectorFor(kind: Connection["kind"]): Connector {
  const connector = connectors[kind];
  if (!connector) throw fail("unsupported", `no connector for '${kind}' in this version of pve-blockio`);
  return connector;
}
