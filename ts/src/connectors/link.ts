// SPDX-License-Identifier: AGPL-3.0-or-later
import { lstat, mkdir, readdir, readlink, rename, rm, rmdir, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { codeOf } from "../common/errors.js";

/** Where all links are: `STOREID/VOLNAME`, or `STOREID/VOLNAME@SNAPSHOT`. */
export function linkDirectory(): string {
  return join(process.env["PVE_BLOCKIO_RUN"] ?? "/run/pve-blockio", "dev");
}

/** Points the link of a volume at its device, at once also when it points elsewhere. */
export async function setLink(link: string, device: string): Promise<void> {
  if ((await linkTarget(link)) === device) return;
  await mkdir(dirname(link), { recursive: true, mode: 0o755 });
  const made = `${link}.new`;
  await rm(made, { force: true });
  await symlink(device, made);
  await rename(made, link);
}

/** The names of the links in a directory; none when there is no such directory. */
export async function linkNames(directory: string): Promise<string[]> {
  return readdir(directory).catch((error: unknown) => {
    if (codeOf(error) === "absent") return [];
    throw error;
  });
}

/** Where the link points; undefined when there is none. */
export async function linkTarget(link: string): Promise<string | undefined> {
  try {
    return (await lstat(link)).isSymbolicLink() ? await readlink(link) : undefined;
  } catch (error) {
    if (codeOf(error) === "absent") return undefined;
    throw error;
  }
}

/** Removes the link of a volume, and the directory of a storage or guest that has none left. */
export async function removeLink(link: string): Promise<void> {
  await rm(link, { force: true });
  await rmdir(dirname(link)).catch(() => undefined);
}

/** The links below a directory that point at a device. */
export async function linksTo(directory: string, device: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true, recursive: true }).catch(
    (error: unknown) => {
      if (codeOf(error) === "absent") return [];
      throw error;
    },
  );
  const links = entries
    .filter((entry) => entry.isSymbolicLink())
    .map((entry) => join(entry.parentPath, entry.name));
  const targets = await Promise.all(links.map(linkTarget));
  return links.filter((_, index) => targets[index] === device);
}
