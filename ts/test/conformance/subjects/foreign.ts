// SPDX-License-Identifier: AGPL-3.0-or-later
import { execFileSync } from "node:child_process";
import { mkdir, readdir, rm, rmdir, symlink, writeFile } from "node:fs/promises";

/** What others may leave in a directory storage. Paths are relative to `images` and may hold any byte. */
type Foreign = Readonly<Record<string, (images: string, guest: string) => Promise<(string | Buffer)[]>>>;

async function files(...paths: (string | Buffer)[]): Promise<(string | Buffer)[]> {
  for (const path of paths) await writeFile(path, "not ours");
  return paths;
}

async function directories(...paths: string[]): Promise<string[]> {
  for (const path of paths) await mkdir(path);
  return paths;
}

function bytes(path: string, ...tail: number[]): Buffer {
  return Buffer.concat([Buffer.from(path), Buffer.from(tail), Buffer.from(".raw")]);
}

/** By what they are; each makes its things and tells their paths. */
export const foreign: Foreign = {
  "files with names of no volume": (_, guest) =>
    files(
      `${guest}/notes.txt`,
      `${guest}/vm-100-disk-0.raw.bak`,
      `${guest}/vm-100-disk-5.qcow2`,
      `${guest}/vm-100-disk-5`,
      `${guest}/a b.raw`,
      `${guest}/a,b.raw`,
      `${guest}/-rf.raw`,
      `${guest}/.raw`,
      `${guest}/\u00e4.raw`,
      `${guest}/new\nline.raw`,
    ),
  "dot files": (_, guest) =>
    files(`${guest}/.vm-100-disk-5.raw`, `${guest}/.nfs0000000001`, `${guest}/.vm-100-disk-5.raw.other.tmp`),
  "volumes of other guests in a guest's directory": (_, guest) =>
    files(
      `${guest}/vm-101-disk-0.raw`,
      `${guest}/base-101-disk-0.raw`,
      `${guest}/vm-1000-disk-0.raw`,
      `${guest}/vm-10-disk-0.raw`,
    ),
  "directories with names of images, and files with names of directories": async (_, guest) => [
    ...(await directories(`${guest}/vm-100-disk-5.raw`, `${guest}/base-100-disk-6.raw`)),
    ...(await files(`${guest}/subvol-100-disk-7.subvol`)),
  ],
  "links to nowhere": async (_, guest) => {
    await symlink("/nonexistent/image.raw", `${guest}/vm-100-disk-5.raw`);
    await symlink("/nonexistent/directory", `${guest}/subvol-100-disk-6.subvol`);
    return [`${guest}/vm-100-disk-5.raw`, `${guest}/subvol-100-disk-6.subvol`];
  },
  "links that go round in circles": async (_, guest) => {
    await symlink("vm-100-disk-5.raw", `${guest}/vm-100-disk-5.raw`);
    return [`${guest}/vm-100-disk-5.raw`];
  },
  "pipes with names of images": async (_, guest) => {
    execFileSync("mkfifo", [`${guest}/vm-100-disk-5.raw`]);
    return [`${guest}/vm-100-disk-5.raw`];
  },
  "names that are no UTF-8": (images, guest) =>
    files(
      bytes(`${guest}/vm-100-disk-`, 0xff, 0xfe),
      bytes(`${guest}/`, 0xc3, 0x28),
      bytes(`${images}/`, 0x80),
    ),
  "files with names of guests": (images) => files(`${images}/101`, `${images}/123456`),
  "directories that are no guest's": async (images) => [
    ...(await directories(`${images}/lost+found`, `${images}/0100`, `${images}/99`, `${images}/1e2`)),
    ...(await directories(`${images}/.snapshots`, `${images}/1000000000`)),
    ...(await files(`${images}/0100/vm-0100-disk-0.raw`, `${images}/99/vm-99-disk-0.raw`)),
  ],
};

/** Plants one kind; returns how to remove it. */
export async function plant(what: string, images: string, vmid: number): Promise<() => Promise<void>> {
  const guest = `${images}/${vmid}`;
  await mkdir(guest, { recursive: true });
  const paths = await foreign[what]?.(images, guest);
  if (!paths) throw new Error(`unknown foreign thing '${what}'`);
  return async () => {
    for (const path of [...paths].reverse()) await rm(path, { recursive: true });
    // Our volumes may have gone before, and what was planted kept their directory.
    if ((await readdir(guest).catch(() => ["gone"])).length === 0) await rmdir(guest);
  };
}
