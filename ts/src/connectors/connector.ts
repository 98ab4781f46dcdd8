// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Connection } from "../arrays/contract.js";
import type { Context } from "../common/context.js";
import { fail } from "../common/errors.js";
import type { Bytes } from "../common/size.js";

/**
 * Makes a published volume a local path, and takes it away again. Knows no array. `link` is the volume's own path below
 * `/run/pve-blockio/dev`, for connectors whose devices have no lasting name.
 */
export interface Connector {
  /** Where the volume is once it is connected. */
  path(connection: Connection, link: string): string;
  /** Repeatable; returns the local path once it can be opened. */
  connect(ctx: Context, connection: Connection, link: string): Promise<string>;
  /**
   * Before the array takes the volume away: its device, and with the last one the session, are gone from this node, since
   * arrays look who uses a volume. Throws `busy` rather than tear down what is in use.
   */
  disconnect(ctx: Context, connection: Connection, link: string): Promise<void>;
  /** After the array took it away: waits until what the array's own client removes is gone. Without it there is no such. */
  released?(ctx: Context, connection: Connection): Promise<void>;
  /**
   * Makes this node see a volume's new size; nothing to do where it is not connected. `size` is what was asked for, in bytes:
   * an array that has whole blocks only may have given more.
   */
  refresh(ctx: Context, connection: Connection, size: Bytes): Promise<void>;
}

/** The path of a connection that carries one; anything else is a mix-up of connectors. */
export function pathOf(connection: Connection, kind: "file" | "device"): string {
  if (connection.kind !== kind)
    throw fail("internal", `${kind} connector was given a '${connection.kind}' connection`);
  return connection.path;
}
