// SPDX-License-Identifier: AGPL-3.0-or-later
import { stat, statfs } from "node:fs/promises";
import { native } from "../../common/native.js";

/**
 * Extends an image to whole blocks of its file system, before its blocks are shared. XFS takes direct I/O on a file with
 * shared blocks in whole blocks only, and QEMU refuses to open an image whose size is not a multiple of that. Less
 * than a block of zeros is added; a running guest sees it after its next start.
 */
export async function padToBlocks(path: string): Promise<void> {
  const { size } = await stat(path, { bigint: true });
  const { bsize } = await statfs(path, { bigint: true });
  const beyond = size % bsize;
  if (beyond !== 0n) await native().growFile(path, size + bsize - beyond, "off");
}
