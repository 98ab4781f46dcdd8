// SPDX-License-Identifier: AGPL-3.0-or-later
import { access, readdir } from "node:fs/promises";
import { join } from "node:path";
import { codeOf } from "./errors.js";

/** PVE's file system for the cluster. */
export function clusterDirectory(): string {
  return process.env["PVE_BLOCKIO_CLUSTER_DIR"] ?? "/etc/pve";
}

/** The names of all nodes of the cluster. */
export async function nodeNames(cluster = clusterDirectory()): Promise<string[]> {
  const names = await readdir(join(cluster, "nodes")).catch((error: unknown) => {
    if (codeOf(error) === "absent") return [];
    throw error;
  });
  return names.sort();
}

/** The node that has the configuration of a guest; undefined when none has. */
export async function nodeOfGuest(vmid: number, cluster = clusterDirectory()): Promise<string | undefined> {
  // Twice: a configuration that moves from a node not looked at yet to one behind us would not be seen.
  for (let look = 0; look < 2; look++)
    for (const node of await nodeNames(cluster))
      for (const kind of ["qemu-server", "lxc"])
        if (await isThere(join(cluster, "nodes", node, kind, `${vmid}.conf`))) return node;
  return undefined;
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    (error: unknown) => {
      if (codeOf(error) === "absent") return false;
      throw error;
    },
  );
}
