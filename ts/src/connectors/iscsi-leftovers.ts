// SPDX-License-Identifier: AGPL-3.0-or-later
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { codeOf } from "../common/errors.js";
import type { DeviceLayer, DevicePath, IscsiSession } from "./device-layer.js";
import { recordPlaces } from "./iscsi-records.js";
import { formatPortal, type Portal } from "./portal.js";

/** An identity that no disk has: whatever is at an address is another disk, and is told. */
const nobody = "2ffffffffffffffff";

/** What this node has of a target. */
export interface TargetHere {
  readonly iqn: string;
  readonly sessions: readonly IscsiSession[];
  /** The paths of its LUNs. */
  readonly paths: readonly DevicePath[];
}

/** The names of the targets that this node has sessions with, or records of. */
export async function targetNames(root: string): Promise<string[]> {
  const sessions = join(root, "sys/class/iscsi_session");
  const names = await Promise.all(
    (await list(sessions)).map((entry) => text(join(sessions, entry, "targetname"))),
  );
  const recorded = await Promise.all(recordPlaces(root).map(list));
  return [...new Set([...names.flatMap((name) => name ?? []), ...recorded.flat()])].sort();
}

/** The portals at which a target is recorded. */
export async function recordedPortals(root: string, iqn: string): Promise<Portal[]> {
  const entries = (await Promise.all(recordPlaces(root).map((place) => list(join(place, iqn))))).flat();
  const found = new Map<string, Portal>();
  for (const entry of entries) {
    const [address = "", port] = entry.split(",");
    if (!/^[0-9]{1,5}$/.test(port ?? "")) continue;
    const portal = { address: address.toLowerCase(), port: Number(port) };
    found.set(formatPortal(portal), portal);
  }
  return [...found.values()];
}

/** The sessions with a target, and the disks behind it. */
export async function targetHere(layer: DeviceLayer, root: string, iqn: string): Promise<TargetHere> {
  const sessions = await layer.iscsiSessions(root, iqn);
  const at = sessions.flatMap(({ host, channel, target, luns }) =>
    luns.map((lun) => ({ host, channel, target, lun })),
  );
  if (at.length === 0) return { iqn, sessions, paths: [] };
  const { there, foreign } = await layer.waitPaths(root, nobody, at, 0);
  return { iqn, sessions, paths: [...there, ...foreign] };
}

async function list(dir: string): Promise<string[]> {
  return readdir(dir).catch((error: unknown) => {
    if (codeOf(error) === "absent") return [];
    throw error;
  });
}

async function text(path: string): Promise<string | undefined> {
  return readFile(path, "utf8").then(
    (found) => found.trim(),
    () => undefined,
  );
}
