// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Connection } from "../arrays/contract.js";
import type { Context } from "../common/context.js";
import { fail } from "../common/errors.js";
import { fileConnector } from "./file.js";

/** Makes a published volume a local path, and takes it away again. Knows no array. */
export interface Connector {
  /** Repeatable; returns the local path once it can be opened. */
  connect(ctx: Context, connection: Connection): Promise<string>;
  /** Succeeds when nothing is connected. Throws `busy` rather than tear down what is in use. */
  disconnect(ctx: Context, connection: Connection): Promise<void>;
  /** Makes a new size visible. */
  refresh(ctx: Context, connection: Connection): Promise<void>;
  /** Whether this node uses the volume. */
  isInUse(ctx: Context, connection: Connection): Promise<boolean>;
}

const connectors: Partial<Record<Connection["kind"], Connector>> = { file: fileConnector };

/** Throws `unsupported` for a kind that this build cannot connect. */
export function connectorFor(kind: Connection["kind"]): Connector {
  const connector = connectors[kind];
  if (!connector) throw fail("unsupported", `no connector for '${kind}' in this version of pve-blockio`);
  return connector;
}
