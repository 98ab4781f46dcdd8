// SPDX-License-Identifier: AGPL-3.0-or-later
import { readFile } from "node:fs/promises";

/**
 * The directories of this process's mount namespace on which something is mounted, from the kernel's table: a stat
 * would hang on a dead server.
 */
export async function mountPoints(): Promise<string[]> {
  const table = await readFile("/proc/self/mountinfo", "utf8");
  return table
    .split("\n")
    .flatMap((line) => line.split(" ")[4] ?? [])
    .map(unescapeOctal);
}

function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}
