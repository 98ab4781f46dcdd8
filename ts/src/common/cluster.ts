// SPDX-License-Identifier: AGPL-3.0-or-later
import { readdir } from "node:fs/promises";
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
