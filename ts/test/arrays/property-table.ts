// SPDX-License-Identifier: AGPL-3.0-or-later

/** One row of a table of properties. */
export interface PropertyRow {
  readonly names: readonly string[];
  /** Type, default, effect. */
  readonly cells: readonly string[];
}

/** Rows of the table below `## Properties`. */
export function propertyRows(text: string): PropertyRow[] {
  const [, table = ""] = /\n## Properties\n([\s\S]*?)\n## /.exec(text) ?? [];
  return table
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .map((line) => {
      const [names = "", ...cells] = line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim());
      return { names: [...names.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name), cells };
    });
}
