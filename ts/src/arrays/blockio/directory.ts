// SPDX-License-Identifier: AGPL-3.0-or-later
import { mkdir, realpath } from "node:fs/promises";
import { codeOf, during, fail } from "../../common/errors.js";
import { native } from "../../common/native.js";
import type { Capacity } from "../contract.js";
import type { Layout } from "./layout.js";
import { mountPoints } from "./mounts.js";

/** How long a file system may take to answer a question about itself, in milliseconds. */
const probeTimeoutMs = 2500;

/** What a probe says of the directory: sizes in bytes, file system type, device number. */
export type Probe = Capacity & { readonly fsType: string; readonly dev: bigint };

/**
 * Asks whether the storage's directory answers. Runs on a thread of its own, so that a dead NFS server costs
 * this call its deadline and nothing else anything.
 */
export async function probe(path: string): Promise<Probe> {
  try {
    const found = await native().probeDir(path, probeTimeoutMs);
    return {
      total: found.total,
      available: found.avail,
      used: found.used,
      fsType: found.fsType,
      dev: found.dev,
    };
  } catch (error) {
    const code = codeOf(error);
    if (code === "timeout") {
      throw fail(
        "unreachable",
        `directory '${path}' does not answer; check the file server and the network`,
        error,
      );
    }
    if (code === "absent") {
      throw fail(
        "unreachable",
        `directory '${path}' does not exist; create it or mount what belongs there`,
        error,
      );
    }
    throw error;
  }
}

/** Throws `unreachable` when the section demands a mount point and nothing is mounted there. */
export async function checkMountpoint(layout: Layout): Promise<void> {
  const wanted = layout.section.mountpoint;
  if (wanted === undefined) return;
  const mounted = await mountPoints();
  if (mounted.includes(wanted)) return;
  const resolved = await realpath(wanted).catch(() => wanted);
  if (!mounted.includes(resolved)) {
    throw fail(
      "unreachable",
      `'${wanted}' is expected to be a mount point but nothing is mounted there; mount it`,
    );
  }
}

/** Makes the directories that the section asks for; checks that no two content types share one. */
export async function createDirectories(layout: Layout): Promise<void> {
  const { section } = layout;
  try {
    await probe(section.path);
  } catch (error) {
    // Only a directory that is known to be missing is made: mkdir on a dead server would hang.
    const missing = error instanceof Error && codeOf(error.cause) === "absent";
    if (!missing || !section.createBasePath) throw error;
    await during(`create directory '${section.path}'`, () => mkdir(section.path, { recursive: true }));
  }
  const types = section.content.filter((type) => type in section.contentDirs);
  if (section.createSubdirs) {
    const wanted = types.includes("rootdir") ? [...new Set([...types, "backup", "images"])] : types;
    for (const type of wanted) {
      const dir = layout.contentDir(type);
      await during(`create directory '${dir}' for content '${type}'`, () => mkdir(dir, { recursive: true }));
    }
  }
  const seen = new Map<string, string>();
  for (const type of types) {
    const dir = await realpath(layout.contentDir(type)).catch(() => undefined);
    if (dir === undefined) continue;
    const other = seen.get(dir);
    if (other !== undefined) {
      throw fail(
        "invalid",
        `content types '${other}' and '${type}' share directory '${dir}'; set content-dirs apart`,
      );
    }
    seen.set(dir, type);
  }
}
