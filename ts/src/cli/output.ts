// SPDX-License-Identifier: AGPL-3.0-or-later
import { writeSync } from "node:fs";

/** Writes to standard output without buffering in this process, so that nothing is lost at exit. */
export function print(text: string): void {
  writeAll(1, text);
}

/** Writes to standard error. */
export function say(text: string): void {
  writeAll(2, text);
}

function writeAll(fd: number, text: string): void {
  const data = Buffer.from(text);
  for (let offset = 0; offset < data.length; ) {
    try {
      offset += writeSync(fd, data, offset);
    } catch (error) {
      const code = (error as { code?: string }).code;
      if (code === "EAGAIN") continue;
      // Nobody reads any more: there is nobody to tell either.
      if (code === "EPIPE") return;
      throw error;
    }
  }
}

/** Aligns rows in columns; numbers to the right. */
export function table(rows: readonly (readonly (string | bigint | number)[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, String(cell).length);
    });
  }
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          typeof cell === "string"
            ? cell.padEnd(widths[column] ?? 0)
            : String(cell).padStart(widths[column] ?? 0),
        )
        .join("  ")
        .trimEnd()
        .concat("\n"),
    )
    .join("");
}
