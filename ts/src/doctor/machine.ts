// SPDX-License-Identifier: AGPL-3.0-or-later
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Leftover, NodeNeeds } from "../arrays/contract.js";
import { codeOf } from "../common/errors.js";
import type { Storage } from "../plugin/storage.js";

/** The node that is looked at; `root` and `cluster` are `/` and `/etc/pve` except in tests. */
export interface Machine {
  readonly root: string;
  readonly cluster: string;
  /** Name of this node. */
  readonly node: string;
  /** Version of this program. */
  readonly version: string;
  /** Asks the service of this node who it is. */
  ping(): Promise<{ readonly version: string; readonly protocol: number }>;
  /** Asks it what a storage has left. */
  leftovers(section: Section): Promise<readonly Leftover[]>;
  multipathStatus(timeoutMs: number): Promise<"running" | "off" | "silent">;
}

/** A section of storage.cfg. */
export interface Section {
  readonly storeid: string;
  readonly scfg: Readonly<Record<string, unknown>>;
}

/** A storage of ours, opened, with what it asks of the node. */
export interface Opened extends Section {
  readonly storage: Storage;
  readonly needs: NodeNeeds;
}

/** The text of a file of the machine; undefined when there is none. */
export async function textOf({ root }: Pick<Machine, "root">, path: string): Promise<string | undefined> {
  return readFile(join(root, path), "utf8").catch((error: unknown) => {
    if (codeOf(error) === "absent") return undefined;
    throw error;
  });
}

/** The names in a directory of the machine; none when there is no such directory. */
export async function namesIn({ root }: Pick<Machine, "root">, path: string): Promise<string[]> {
  return readdir(join(root, path)).catch((error: unknown) => {
    if (codeOf(error) === "absent" || (error as { code?: unknown }).code === "ENOTDIR") return [];
    throw error;
  });
}

/** Whether a process of that name runs. */
export async function runs(machine: Pick<Machine, "root">, name: string): Promise<boolean> {
  for (const pid of (await namesIn(machine, "proc")).filter((entry) => /^[0-9]+$/.test(entry))) {
    const comm = await textOf(machine, `proc/${pid}/comm`).catch(() => undefined);
    if (comm?.trim() === name) return true;
  }
  return false;
}
