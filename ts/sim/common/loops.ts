// SPDX-License-Identifier: AGPL-3.0-or-later
import { execFile } from "node:child_process";
import { closeSync, constants, openSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

const run = promisify(execFile);
const losetup = "/sbin/losetup";
/** The bits of open flags that say whether a descriptor reads or writes; Node has no name for them. */
const accessMode = constants.O_RDONLY | constants.O_WRONLY | constants.O_RDWR;

async function call(...args: string[]): Promise<string> {
  const { stdout } = await run(losetup, args, { env: { LC_ALL: "C" }, timeout: 30_000 });
  return stdout.trim();
}

/** Puts a loop device over a file and says which, such as `/dev/loop3`. */
export async function attachLoop(file: string, readOnly: boolean): Promise<string> {
  // As the real devices have. The kernel would take the file system's unit for a file that shares blocks with others,
  // and what is smaller (the last sectors of an odd size, a file system made before) could not be read any more.
  const sectors = ["--sector-size", "512"];
  const wanted = ["--find", "--show", ...sectors, ...(readOnly ? ["--read-only"] : [])];
  // Not every file system can do direct I/O: the data is the same then, through the page cache.
  return call(...wanted, "--direct-io=on", "--", file).catch(() => call(...wanted, "--", file));
}

/** Tells a loop device that its file has another size. */
export async function resizeLoop(device: string): Promise<void> {
  await call("--set-capacity", device);
}

/**
 * Takes a loop device from its file. One that somebody has open goes when the last one closes it, and works until
 * then: the kernel knows no way to cut it off. Says whether it is gone.
 */
export async function detachLoop(device: string, file: string): Promise<boolean> {
  if (backingOf(basename(device)) !== file) return true;
  await call("--detach", device);
  for (let n = 0; n < 20; n++) {
    if (backingOf(basename(device)) !== file) return true;
    await sleep(10);
  }
  return false;
}

/** Loop devices over files of a directory, also deleted ones, with the file. */
export function loopsOver(dir: string): { device: string; file: string }[] {
  const found: { device: string; file: string }[] = [];
  for (const name of readdirSync("/sys/block")) {
    const file = name.startsWith("loop") ? backingOf(name) : undefined;
    if (file?.startsWith(`${dir}/`)) found.push({ device: `/dev/${name}`, file });
  }
  return found;
}

/** Bytes of a loop device. */
export function loopSize(device: string): number {
  return Number(readFileSync(join("/sys/block", basename(device), "size"), "utf8")) * 512;
}

/** The file under a loop device; the kernel marks one that was removed or replaced meanwhile. */
function backingOf(name: string): string | undefined {
  try {
    const shown = readFileSync(join("/sys/block", name, "loop/backing_file"), "utf8").trimEnd();
    return shown.replace(/ \(deleted\)$/, "");
  } catch {
    return undefined;
  }
}

/** How a device is open. */
export type Openness = "closed" | "read" | "write";

/** Does somebody have a device open? */
export async function isDeviceOpen(device: string): Promise<boolean> {
  return openness([device]).get(device) !== "closed";
}

/**
 * How devices are open. The exclusive open finds mounts and devices stacked on it, which have no descriptor and count as
 * writers; everybody else, QEMU for one, has a descriptor.
 */
export function openness(devices: readonly string[]): Map<string, Openness> {
  const found = new Map<string, Openness>();
  const byNumber = new Map<number, string>();
  for (const device of devices) {
    found.set(device, isHeld(device) ? "write" : "closed");
    byNumber.set(statSync(device).rdev, device);
  }
  for (const pid of devices.length > 0 ? processIds() : [])
    for (const { rdev, writes } of openDevices(pid)) {
      const device = byNumber.get(rdev);
      if (device !== undefined && found.get(device) !== "write") found.set(device, writes ? "write" : "read");
    }
  return found;
}

function isHeld(device: string): boolean {
  try {
    closeSync(openSync(device, constants.O_RDONLY | constants.O_EXCL));
    return false;
  } catch (error) {
    if ((error as { code?: string }).code === "EBUSY") return true;
    throw error;
  }
}

function processIds(): string[] {
  return readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name));
}

/**
 * They have a device open for a moment, and nobody would call that open: udev looks at every new one, and who wants a free
 * loop device tries those that others have just got.
 */
const passing = /udev|^(?:losetup|mount)\s*$/;

/** Block devices that a process has open. */
function openDevices(pid: string): { rdev: number; writes: boolean }[] {
  const dir = join("/proc", pid, "fd");
  const found: { rdev: number; writes: boolean }[] = [];
  let names: string[];
  try {
    if (passing.test(readFileSync(join("/proc", pid, "comm"), "utf8"))) return found;
    names = readdirSync(dir);
  } catch {
    return found;
  }
  for (const name of names) {
    try {
      const path = join(dir, name);
      if (!readlinkSync(path).startsWith("/dev/")) continue;
      const stats = statSync(path);
      if (stats.isBlockDevice()) found.push({ rdev: stats.rdev, writes: canWrite(pid, name) });
    } catch {
      // Closed or ended meanwhile.
    }
  }
  return found;
}

function canWrite(pid: string, descriptor: string): boolean {
  const [, flags = "0"] =
    /^flags:\s*([0-7]+)/m.exec(readFileSync(join("/proc", pid, "fdinfo", descriptor), "utf8")) ?? [];
  return (Number.parseInt(flags, 8) & accessMode) !== constants.O_RDONLY;
}
