// SPDX-License-Identifier: AGPL-3.0-or-later
import { chmod, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { codeOf, fail } from "../common/errors.js";
import type { Portal } from "./portal.js";

/** Where open-iscsi keeps its records: since Debian 13, and before. */
const places = ["var/lib/iscsi/nodes", "etc/iscsi/nodes"];

/** The directories of the records, one entry for each target. */
export function recordPlaces(root: string): string[] {
  return places.map((place) => join(root, place));
}

/** What a node record says beyond its target and portal; undefined removes a line. */
export type Settings = Readonly<Record<string, string | undefined>>;

/**
 * Settings of every session of ours: nothing starts by itself, no LUN appears that nobody asked for, and a portal that does
 * not answer gives up before PVE does.
 */
export function sessionSettings(chap?: { readonly user: string; readonly password: string }): Settings {
  const login = {
    "node.session.auth.authmethod": chap ? "CHAP" : "None",
    "node.session.auth.username": chap?.user,
    "node.session.auth.password": chap?.password,
  };
  for (const value of Object.values(login)) {
    if (value !== undefined && /[\0\r\n]/.test(value)) {
      throw fail("invalid", "CHAP user and password cannot have line breaks; correct them in the storage");
    }
  }
  return {
    ...login,
    "node.startup": "manual",
    "node.leading_login": "No",
    "node.session.scan": "manual",
    "node.session.initial_login_retry_max": "1",
    "node.conn[0].timeo.login_timeout": "10",
  };
}

/** The files that record a target at a portal: one for each interface. */
export async function recordFiles(root: string, iqn: string, { address, port }: Portal): Promise<string[]> {
  const files: string[] = [];
  for (const place of places) {
    const target = join(root, place, iqn);
    for (const entry of await list(target)) {
      const [host, recorded] = entry.split(",");
      if (host?.toLowerCase() !== address || recorded !== String(port)) continue;
      const path = join(target, entry);
      if ((await stat(path)).isDirectory()) files.push(...(await list(path)).map((name) => join(path, name)));
      else files.push(path);
    }
  }
  return files;
}

/**
 * Changes a record in place. Not through `iscsiadm`, whose arguments every process of the node can read: one of them is the
 * password. Says whether anything was different.
 */
export async function changeRecord(file: string, settings: Settings): Promise<boolean> {
  const before = await readFile(file, "utf8");
  const after = changed(before, settings);
  if (after === before) return false;
  const made = `${file}.blockio`;
  await rm(made, { force: true });
  try {
    const handle = await open(made, "wx", 0o600);
    try {
      await handle.writeFile(after);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await chmod(made, 0o600);
    await rename(made, file);
  } catch (error) {
    await rm(made, { force: true });
    throw error;
  }
  return true;
}

/** The text of a record with other settings: `name = value` lines, ended by a comment. */
export function changed(record: string, settings: Settings): string {
  const left = new Map(Object.entries(settings));
  const lines = record.split("\n").flatMap((line) => {
    const name = /^([^#\s=]+)\s*=/.exec(line)?.[1];
    if (name === undefined || !Object.hasOwn(settings, name)) return [line];
    const value = left.get(name);
    left.delete(name);
    return value === undefined ? [] : [`${name} = ${value}`];
  });
  const added = [...left].flatMap(([name, value]) => (value === undefined ? [] : [`${name} = ${value}`]));
  const end = lines.findLastIndex((line) => line.startsWith("# END RECORD"));
  const at = end < 0 ? lines.length - (lines.at(-1) === "" ? 1 : 0) : end;
  return lines.toSpliced(at, 0, ...added).join("\n");
}

async function list(dir: string): Promise<string[]> {
  return readdir(dir).catch((error: unknown) => {
    if (codeOf(error) === "absent") return [];
    throw error;
  });
}
