// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Connection } from "../arrays/contract.js";
import type { Context } from "../common/context.js";

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
