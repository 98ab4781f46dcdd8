// SPDX-License-Identifier: AGPL-3.0-or-later
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { clusterDirectory } from "./cluster.js";
import { codeOf, during } from "./errors.js";

const schema = z.object({
  version: z.string().max(64),
  protocol: z.number().int(),
  /** The iSCSI initiator name, where the node has one. */
  initiator: z.string().max(255).optional(),
});

/**
 * What the service of a node tells the other nodes of itself when it starts, in `/etc/pve/nodes/NODE/pve-blockio.json`. The
 * cluster file system carries it to all of them; without quorum it cannot be written.
 */
export type NodeRecord = z.output<typeof schema>;

function fileOf(node: string, cluster: string): string {
  return join(cluster, "nodes", node, "pve-blockio.json");
}

/** Undefined when the service of that node never wrote one, or something else did. */
export async function readNodeRecord(
  node: string,
  cluster = clusterDirectory(),
): Promise<NodeRecord | undefined> {
  const text = await readFile(fileOf(node, cluster), "utf8").catch((error: unknown) => {
    if (codeOf(error) === "absent") return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  try {
    return schema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

/** Writes this node's, unless it is there as it should be: each change is a transaction of the whole cluster. */
export async function writeNodeRecord(
  node: string,
  record: NodeRecord,
  cluster = clusterDirectory(),
): Promise<void> {
  const path = fileOf(node, cluster);
  const text = `${JSON.stringify(record)}\n`;
  await during(`tell the cluster of this node's version in '${path}'`, async () => {
    if ((await readFile(path, "utf8").catch(() => "")) === text) return;
    // The directory is PVE's: without it there is no cluster file system, or no such node.
    const made = `${path}.new`;
    await rm(made, { force: true });
    await writeFile(made, text, { mode: 0o640 });
    await rename(made, path);
  });
}

/** The name by which the node of `root` logs in to iSCSI targets, as open-iscsi has it; undefined without one. */
export async function initiatorName(root = "/"): Promise<string | undefined> {
  const text = await readFile(join(root, "etc/iscsi/initiatorname.iscsi"), "utf8").catch((error: unknown) => {
    if (codeOf(error) === "absent") return "";
    throw error;
  });
  return /^InitiatorName\s*=\s*(\S+)/m.exec(text)?.[1];
}
