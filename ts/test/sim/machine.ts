// SPDX-License-Identifier: AGPL-3.0-or-later
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import type { SimulatorOptions } from "../../sim/storpool/index.js";
import { type Session, session } from "./storpool.js";

/** Why this machine has no loop devices for us; undefined when it has. Found out by asking for one. */
export function cannotLoop(): string | undefined {
  if (process.getuid?.() !== 0) return "loop devices need root";
  const { status, stderr } = spawnSync("/sbin/losetup", ["--find"], { encoding: "utf8" });
  return status === 0 ? undefined : `losetup: ${stderr?.trim() ?? "not installed"}`;
}

/** A simulator with devices in a directory of its own. */
export interface Machine {
  readonly s: Session;
  readonly data: string;
  /** Path of the link of an object at client 11 or 12. */
  readonly link: (client: 11 | 12, globalId: string) => string;
}

/** Starts one for a test: client 11 is node pve1, client 12 has no name. */
export async function machine(t: ExecutionContext, options: SimulatorOptions = {}): Promise<Machine> {
  const top = mkdtempSync(join(tmpdir(), "blockio-storpool-"));
  t.teardown(() => rmSync(top, { recursive: true, force: true }));
  const [data, devices] = [join(top, "data"), join(top, "dev")];
  const clients = [{ id: 11, dir: "pve1" }, 12];
  const s = await session(t, { data, devices, clients, ...options });
  const link = (client: 11 | 12, globalId: string) =>
    join(devices, client === 11 ? "pve1" : "12", "storpool-byid", globalId);
  return { s, data, link };
}

/** Writes into a device and flushes. */
export async function write(path: string, text: string, position = 0): Promise<void> {
  const file = await open(path, "r+");
  try {
    await file.write(Buffer.from(text), 0, text.length, position);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Reads from a device. */
export async function read(path: string, length: number, position = 0): Promise<string> {
  const file = await open(path, "r");
  try {
    const { buffer } = await file.read(Buffer.alloc(length), 0, length, position);
    return buffer.toString();
  } finally {
    await file.close();
  }
}

/** Bytes of a device. */
export function sizeOf(path: string): number {
  return Number(execFileSync("/sbin/blockdev", ["--getsize64", path], { encoding: "utf8" }));
}

/** Files of a directory that are under loop devices. */
export function loopsOver(dir: string): string {
  return execFileSync("/sbin/losetup", ["--list", "--noheadings", "--output", "BACK-FILE"], {
    encoding: "utf8",
  })
    .split("\n")
    .filter((line) => line.startsWith(dir))
    .join();
}
