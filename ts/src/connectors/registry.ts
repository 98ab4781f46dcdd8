// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Connection } from "../arrays/contract.js";
import type { Connector } from "./connector.js";
import { deviceConnector } from "./device.js";
import { DrbdConnector } from "./drbd.js";
import { FcConnector } from "./fc.js";
import { fileConnector } from "./file.js";
import { IscsiConnector } from "./iscsi.js";
import { linkDirectory } from "./link.js";
import { nativeLayer } from "./native-layer.js";
import { NvmeTcpConnector } from "./nvme-tcp.js";
import { ProgramConnector } from "./program.js";

const makers: Record<Connection["kind"], () => Connector> = {
  file: () => fileConnector,
  device: () => deviceConnector,
  drbd: () => new DrbdConnector(nativeLayer()),
  iscsi: () => {
    const program = process.env["PVE_BLOCKIO_ISCSI_PROGRAM"];
    return program === undefined ? new IscsiConnector(nativeLayer()) : new ProgramConnector(program);
  },
  "nvme-tcp": () => new NvmeTcpConnector(nativeLayer(), linkDirectory()),
  fc: () => new FcConnector(nativeLayer()),
};

/** One of each kind for the whole process: they keep calls for one target or disk apart. */
const connectors = new Map<Connection["kind"], Connector>();

/** The connector of a kind. */
export function connectorFor(kind: Connection["kind"]): Connector {
  const known = connectors.get(kind) ?? makers[kind]();
  connectors.set(kind, known);
  return known;
}
