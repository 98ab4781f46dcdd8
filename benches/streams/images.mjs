// SPDX-License-Identifier: AGPL-3.0-or-later
// Source images, the same bytes in every run.
import { createCipheriv, createHash } from "node:crypto";
import { closeSync, createReadStream, ftruncateSync, openSync, writeSync } from "node:fs";

const chunk = 256 << 10;

/** Endless bytes that nothing can compress and no zero test can skip. */
function noise() {
  const cipher = createCipheriv("aes-128-ctr", Buffer.alloc(16, 1), Buffer.alloc(16));
  const zeros = Buffer.alloc(chunk);
  return () => cipher.update(zeros);
}

/** Data everywhere. */
export function denseImage(path, bytes) {
  writeImage(path, bytes, chunk);
}

/** One chunk of data, then a hole, so that `share` of the image is data. */
export function sparseImage(path, bytes, share) {
  writeImage(path, bytes, Math.round(chunk / share / 4096) * 4096);
}

function writeImage(path, bytes, step) {
  const next = noise();
  const file = openSync(path, "wx");
  try {
    ftruncateSync(file, bytes);
    for (let at = 0; at < bytes; at += step) writeSync(file, next(), 0, Math.min(chunk, bytes - at), at);
  } finally {
    closeSync(file);
  }
}

export async function sha256(path) {
  const hash = createHash("sha256");
  for await (const bytes of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(bytes);
  return hash.digest("hex");
}
