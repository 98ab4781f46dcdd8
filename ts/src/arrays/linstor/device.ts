// SPDX-License-Identifier: AGPL-3.0-or-later
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { codeOf } from "../../common/errors.js";
import type { Connection, VolumeRef } from "../contract.js";
import { ownRow } from "./lookup.js";
import { plainName } from "./names.js";
import { recordedName } from "./records.js";
import type { Session } from "./session.js";
import type { Resource } from "./shapes.js";

/** The lasting name of a definition's DRBD device. */
export function drbdPath({ devices }: Session, definition: string): string {
  return join(devices, "drbd/by-res", definition, "0");
}

/** Where a definition is on this node. Only stacks without DRBD have no lasting name of their own. */
export function connectionOf(session: Session, definition: string, rows: readonly Resource[]): Connection {
  const row = ownRow(session, rows);
  const layer = (row ?? rows[0])?.topLayer ?? "DRBD";
  const path =
    layer === "DRBD" ? drbdPath(session, definition) : (row?.devicePath ?? drbdPath(session, definition));
  return { kind: "drbd", path };
}

/**
 * The device of a volume that is on this node already, found without any controller: the definition of the volume's name,
 * unless the cluster's file system knows another one. Undefined when there is no such device.
 */
export async function localDevice(
  session: Session,
  ref: VolumeRef,
): Promise<(Connection & { readonly kind: "drbd" }) | undefined> {
  const recorded = await recordedName(session, ref.name);
  const name = recorded ?? plainName(ref.name);
  if (name === undefined || name === "-") return undefined;
  const path = drbdPath(session, name);
  const there = await stat(path).then(
    (found) => found.isBlockDevice(),
    (error: unknown) => {
      if (["absent", "unreachable"].includes(codeOf(error))) return false;
      throw error;
    },
  );
  return there ? { kind: "drbd", path } : undefined;
}
