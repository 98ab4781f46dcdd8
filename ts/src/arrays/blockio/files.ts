// SPDX-License-Identifier: AGPL-3.0-or-later
import { lstat, mkdir, open, readdir, rmdir } from "node:fs/promises";
import { codeOf } from "../../common/errors.js";

/** Whether something of that name is there; throws on any answer but yes and no. */
export async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (codeOf(error) === "absent") return false;
    throw error;
  }
}

/** Names in a directory; none when there is no directory of that name. */
export async function namesIn(dir: string): Promise<string[]> {
  try {
    return await readdir(dir);
  } catch (error) {
    if (codeOf(error) === "absent" || (error as { code?: string }).code === "ENOTDIR") return [];
    throw error;
  }
}

/** Makes the names in a directory durable; nothing to do when it is gone. */
export async function syncDirectory(dir: string): Promise<void> {
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    handle = await open(dir, "r");
  } catch (error) {
    if (codeOf(error) === "absent") return;
    throw error;
  }
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Removes a directory if it is empty; leaves it otherwise. */
export async function removeIfEmpty(dir: string): Promise<void> {
  try {
    await rmdir(dir);
  } catch (error) {
    const code = (error as { code?: string }).code;
    if (code !== "ENOENT" && code !== "ENOTEMPTY" && code !== "EEXIST") throw error;
  }
}

/**
 * Runs `create`, which puts something into `dir`, making `dir` first. Another node that removes the last volume
 * of a guest also removes its empty directory, perhaps just between the two steps: then both are repeated.
 */
export async function creatingIn<T>(dir: string, create: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    await mkdir(dir, { recursive: true });
    try {
      return await create();
    } catch (error) {
      if (codeOf(error) === "absent" && attempt < 5 && !(await exists(dir))) continue;
      await removeIfEmpty(dir);
      throw error;
    }
  }
}
