// SPDX-License-Identifier: AGPL-3.0-or-later
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { codeOf, fail, wrap } from "../../common/errors.js";

/** Variables by name, as they stand in StorPool's configuration. */
export type Variables = Map<string, string>;

/** One configuration file: the variables before the first header, and those of each section. */
export interface ConfigFile {
  readonly common: Variables;
  readonly sections: ReadonlyMap<string, Variables>;
}

/**
 * Parses the text of one file. `path` is for messages only; they never quote a line, because it may hold the token.
 *
 * @throws `invalid` for a line that is neither variable, header nor comment: with a damaged header, values of one
 *   node would become those of all.
 */
export function parseConfigFile(text: string, path: string): ConfigFile {
  const common: Variables = new Map();
  const sections = new Map<string, Variables>();
  let current = common;
  for (const { number, line } of logicalLines(text)) {
    if (line === "" || isComment(line)) continue;
    const header = /^\[([^\]]*)\]$/.exec(line)?.[1];
    if (header !== undefined) {
      const name = header.trim();
      current = sections.get(name) ?? new Map();
      sections.set(name, current);
      continue;
    }
    const equals = line.indexOf("=");
    if (line.startsWith("[") || equals < 1) {
      throw fail(
        "invalid",
        `read StorPool configuration: ${path} line ${number} is neither NAME=value nor [section]; correct it`,
      );
    }
    current.set(line.slice(0, equals).trim(), line.slice(equals + 1).trim());
  }
  return { common, sections };
}

/**
 * Reads `/etc/storpool.conf` and `/etc/storpool.conf.d/*.conf` below `root` and merges them: file after file, the
 * unnamed section first, then the one of `node`. So the unnamed section of a later file wins over the node's section
 * of an earlier one. A file that is missing is empty.
 *
 * @throws `invalid` for what cannot be parsed, otherwise the code of the file system's error.
 */
export async function readConfigFiles(root: string, node: string): Promise<Variables> {
  const merged: Variables = new Map();
  for (const path of ["/etc/storpool.conf", ...(await dropIns(root))]) {
    const text = await contents(join(root, path), path);
    if (text === undefined) continue;
    const { common, sections } = parseConfigFile(text, path);
    for (const [name, value] of [...common, ...(sections.get(node) ?? [])]) merged.set(name, value);
  }
  return merged;
}

function isComment(line: string): boolean {
  return line.startsWith("#") || line.startsWith(";");
}

/** Trimmed lines with their numbers; a backslash at the end joins the next line, except to a comment. */
function logicalLines(text: string): { number: number; line: string }[] {
  const lines: { number: number; line: string }[] = [];
  let open: { number: number; line: string } | undefined;
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const line: { number: number; line: string } = open
      ? { number: open.number, line: open.line + raw }
      : { number: index + 1, line: raw };
    const continues = line.line.endsWith("\\") && !isComment(line.line.trimStart());
    open = continues ? { number: line.number, line: line.line.slice(0, -1) } : undefined;
    if (!open) lines.push({ number: line.number, line: line.line.trim() });
  }
  if (open) lines.push({ number: open.number, line: open.line.trim() });
  return lines;
}

/** Paths of the files in the directory, in byte order of their names whatever the locale is. */
async function dropIns(root: string): Promise<string[]> {
  const directory = "/etc/storpool.conf.d";
  try {
    return (await readdir(join(root, directory), { withFileTypes: true }))
      .filter((entry) => !entry.isDirectory() && !entry.name.startsWith(".") && entry.name.endsWith(".conf"))
      .map((entry) => entry.name)
      .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
      .map((name) => `${directory}/${name}`);
  } catch (error) {
    if (codeOf(error) === "absent") return [];
    throw wrap(error, `read StorPool configuration: ${directory}`);
  }
}

async function contents(file: string, path: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (codeOf(error) === "absent") return undefined;
    throw wrap(error, `read StorPool configuration: ${path}`);
  }
}
