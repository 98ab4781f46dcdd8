// SPDX-License-Identifier: AGPL-3.0-or-later
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A file system that can be made in a file. */
export interface FileSystem {
  readonly type: string;
  readonly mkfs: readonly string[];
}

/** A file system in a file, mounted in a directory of its own. */
export interface Mounted {
  readonly dir: string;
  unmount(): Promise<void>;
}

/**
 * Takes everything down once its standard input ends: when we say so, and also when this process is killed. A
 * session of its own, so that an interrupt from the keyboard does not reach it.
 */
const guardian = `
trap '' INT TERM HUP
read -r _
losetup --list --noheadings --output NAME,BACK-FILE | while read -r device file; do
  case $file in "$1/mnt/"*) losetup --detach "$device" ;; esac
done
i=0
until umount "$1/mnt" 2>/dev/null || ! mountpoint -q "$1/mnt"; do
  i=$((i + 1))
  [ $i -lt 300 ] || { umount -l "$1/mnt"; break; }
  sleep 0.1
done
rm -rf --one-file-system "$1"
[ $i -lt 300 ]
`;

/** Why this machine cannot mount such a file system; undefined when it can. Found out by doing it. */
export function cannotMount({ type, mkfs }: FileSystem): string | undefined {
  if (process.getuid?.() !== 0) return `mounting ${type} needs root`;
  const dir = mkdtempSync(join(tmpdir(), "blockio-probe-"));
  const image = join(dir, "image");
  const steps: [string, string[]][] = [
    ["truncate", ["-s", "512M", image]],
    [mkfs[0] ?? "", [...mkfs.slice(1), image]],
    ["mkdir", [join(dir, "mnt")]],
    ["mount", ["-o", "loop", image, join(dir, "mnt")]],
    ["umount", [join(dir, "mnt")]],
  ];
  try {
    for (const [command, args] of steps) {
      const { status, stderr, error } = spawnSync(command, args, { encoding: "utf8" });
      if (error !== undefined) return `${command} is not installed`;
      if (status !== 0) return `${command}: ${stderr.trim().split("\n")[0]}`;
    }
    return undefined;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Makes a file system of `bytes` bytes in a file, and mounts it. */
export async function mountImage({ mkfs }: FileSystem, bytes: number): Promise<Mounted> {
  const top = mkdtempSync(join(tmpdir(), "blockio-image-"));
  const [image, dir] = [join(top, "image"), join(top, "mnt")];
  const watch = spawn("sh", ["-c", guardian, "guardian", top], {
    stdio: ["pipe", "ignore", "inherit"],
    detached: true,
  });
  const gone = new Promise<number | null>((resolve) => watch.once("exit", resolve));
  const unmount = async () => {
    watch.stdin.end();
    if ((await gone) !== 0) throw new Error(`'${dir}' was still in use at the end`);
  };
  try {
    await writeFile(image, "");
    await truncate(image, bytes);
    execFileSync(mkfs[0] ?? "", [...mkfs.slice(1), image], { stdio: "pipe" });
    execFileSync("mkdir", [dir]);
    execFileSync("mount", ["-o", "loop", image, dir], { stdio: "pipe" });
  } catch (error) {
    await unmount();
    throw error;
  }
  return { dir, unmount };
}
