// SPDX-License-Identifier: AGPL-3.0-or-later
import { rename } from "node:fs/promises";
import type { Context } from "../../common/context.js";
import { native } from "../../common/native.js";
import type { Layout } from "./layout.js";

/**
 * Copies of directories are made under a hidden name and get theirs when they are complete. What a killed service has left
 * there is removed by the next call on the name.
 */
export async function copyTree(ctx: Context, layout: Layout, from: string, to: string): Promise<void> {
  const hidden = await hiddenCopy(ctx, layout, from, to);
  try {
    await native().renameExclusive(hidden, to);
  } catch (error) {
    await native().removeTree(hidden);
    throw error;
  }
}

/** Puts a copy of `from` into the place of the directory `to`, in one step. */
export async function replaceTree(ctx: Context, layout: Layout, from: string, to: string): Promise<void> {
  const hidden = await hiddenCopy(ctx, layout, from, to);
  try {
    await native().renameExchange(hidden, to);
  } finally {
    // What was there before, or the copy.
    await native().removeTree(hidden);
  }
}

/** Removes the name first, then what is in the directory. Throws `absent`. */
export async function deleteTree(layout: Layout, path: string): Promise<void> {
  const hidden = layout.hidden(path);
  await native().removeTree(hidden);
  await rename(path, hidden);
  await native().removeTree(hidden);
}

async function hiddenCopy(ctx: Context, layout: Layout, from: string, to: string): Promise<string> {
  const hidden = layout.hidden(to);
  await native().removeTree(hidden);
  ctx.signal.throwIfAborted();
  const copying = native().copyTree(from, hidden);
  const cancel = () => copying.cancel();
  ctx.signal.addEventListener("abort", cancel);
  try {
    await copying;
  } finally {
    ctx.signal.removeEventListener("abort", cancel);
  }
  return hidden;
}
