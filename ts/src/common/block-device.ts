// SPDX-License-Identifier: AGPL-3.0-or-later
import { readFile, realpath, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { codeOf } from "./errors.js";
import type { Bytes } from "./size.js";

const sector = 512n;

/** The kernel's name of a block device, such as `drbd1000`; undefined when it is not there. */
export async function kernelName(path: string): Promise<string | undefined> {
  return ifThere(async () =>
    (await stat(path)).isBlockDevice() ? basename(await realpath(path)) : undefined,
  );
}

/**
 * Size of a block device in bytes, as the kernel has it: to open the device would make DRBD promote it. Undefined when it is
 * not there. `root` is where `sys` is.
 */
export async function blockDeviceSize(path: string, root = "/"): Promise<Bytes | undefined> {
  const name = await kernelName(path);
  if (name === undefined) return undefined;
  return ifThere(async () => {
    const text = await readFile(join(root, "sys/class/block", name, "size"), "utf8");
    return BigInt(text.trim()) * sector;
  });
}

/** It may go away while it is looked at. */
async function ifThere<T>(look: () => Promise<T | undefined>): Promise<T | undefined> {
  try {
    return await look();
  } catch (error) {
    if (codeOf(error) === "absent") return undefined;
    throw error;
  }
}
