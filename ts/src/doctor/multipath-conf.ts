// SPDX-License-Identifier: AGPL-3.0-or-later

/** A section of multipath.conf: settings, and sections within. */
export interface Block {
  readonly name: string;
  readonly entries: readonly (readonly [key: string, value: string])[];
  readonly blocks: readonly Block[];
}

/**
 * Parses multipath.conf as multipath-tools does: a setting or the head of a section on each line, quotes around values,
 * comments from `#` or `!` to the end of the line. What makes no sense is passed over.
 */
export function parseMultipathConf(text: string): Block[] {
  interface Open {
    name: string;
    entries: [string, string][];
    blocks: Block[];
  }
  const top: Open = { name: "", entries: [], blocks: [] };
  const open = [top];
  for (const line of text.split("\n")) {
    for (const words of statements(line)) {
      const current = open.at(-1) ?? top;
      if (words.at(-1) === "{") {
        const block: Open = { name: words[0] ?? "", entries: [], blocks: [] };
        current.blocks.push(block);
        open.push(block);
      } else if (words[0] === "}") {
        if (open.length > 1) open.pop();
      } else if (words[0] !== undefined) {
        current.entries.push([words[0], words.slice(1).join(" ")]);
      }
    }
  }
  return top.blocks;
}

/** The words of a line, cut behind a bracket: `defaults { polling_interval 5 }` is three statements. */
function statements(line: string): string[][] {
  const all: string[][] = [[]];
  for (const [word, quoted] of line.matchAll(/"([^"]*)"|[#!].*$|[{}]|[^\s{}"#]+/g)) {
    if (quoted === undefined && /^[#!]/.test(word)) break;
    if (quoted === undefined && word === "}") all.push(["}"], []);
    else {
      all.at(-1)?.push(quoted ?? word);
      if (quoted === undefined && word === "{") all.push([]);
    }
  }
  return all.filter((words) => words.length > 0);
}

/** A value, and the section that has it. */
export interface Setting {
  readonly place: string;
  readonly value: string;
}

/** What counts for a disk: `overrides`, else the section of its array, else `defaults`; the last one of several. */
export function settingOf(blocks: readonly Block[], key: string): Setting | undefined {
  const named = (name: string) => blocks.filter((block) => block.name === name);
  const arrays = named("devices").flatMap((devices) => devices.blocks);
  for (const sections of [named("overrides"), arrays, named("defaults")]) {
    const found = sections.flatMap(({ name, entries }) =>
      entries.filter(([own]) => own === key).map(([, value]): Setting => ({ place: name, value })),
    );
    if (found.length > 0) return found.at(-1);
  }
  return undefined;
}
