// SPDX-License-Identifier: AGPL-3.0-or-later
import { execFileSync } from "node:child_process";
import { createCipheriv, createHash } from "node:crypto";
import { open } from "node:fs/promises";

export const KiB = 1024n;
export const MiB = 1024n * KiB;
export const GiB = 1024n * MiB;
export const TiB = 1024n * GiB;

/** `length` bytes that no other `seed` gives, none of its blocks zero: a key stream, because that is quick. */
export function pattern(seed: string, length: number): Buffer {
  const key = createHash("sha256").update(seed).digest();
  return createCipheriv("aes-256-ctr", key, Buffer.alloc(16)).update(Buffer.alloc(length));
}

/** Writes through a local path, as a guest would; durable on return. */
export async function writeBytes(path: string, offset: bigint, data: Buffer): Promise<void> {
  const handle = await open(path, "r+");
  try {
    let done = 0;
    while (done < data.length) {
      const { bytesWritten } = await handle.write(data, done, data.length - done, Number(offset) + done);
      done += bytesWritten;
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Reads through a local path; shorter than `length` where the volume ends. */
export async function readBytes(path: string, offset: bigint, length: number): Promise<Buffer> {
  const handle = await open(path, "r");
  try {
    const data = Buffer.alloc(length);
    let done = 0;
    while (done < length) {
      const { bytesRead } = await handle.read(data, done, length - done, Number(offset) + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return data.subarray(0, done);
  } finally {
    await handle.close();
  }
}

/** Whether a block device refuses writes, by the kernel's word. */
export async function isReadOnly(path: string): Promise<boolean> {
  return execFileSync("blockdev", ["--getro", path], { encoding: "utf8" }).trim() === "1";
}

/** Size of what lies behind a path, by the kernel's word. */
export async function sizeOf(path: string): Promise<bigint> {
  const handle = await open(path, "r");
  try {
    const found = await handle.stat({ bigint: true });
    if (!found.isBlockDevice()) return found.size;
    return BigInt(execFileSync("blockdev", ["--getsize64", path], { encoding: "utf8" }).trim());
  } finally {
    await handle.close();
  }
}
