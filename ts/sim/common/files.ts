// SPDX-License-Identifier: AGPL-3.0-or-later
import { execFile } from "node:child_process";
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { mkdir, open, rename, rm, truncate } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
/**
 * Data of the volumes and snapshots: one sparse file each, named by the object's number, which never changes. Copies
 * share blocks where the file system can, and are sparse copies elsewhere. A copy is not atomic against writers
 * then: tests write, flush, and take the snapshot afterwards.
 */
export class DataFiles {
  readonly dir: string;
  /** The kind of array, which begins every name. */
  readonly #array: string;
  readonly #dataFile: RegExp;

  private constructor(dir: string, array: string) {
    this.dir = dir;
    this.#array = array;
    this.#dataFile = new RegExp(`^${array}-([0-9]+)\\.raw(\\.new)?$`);
  }

  /** Takes a directory, and removes what an earlier simulator of `array` that was killed left in it. */
  static async open(dir: string, array: string): Promise<DataFiles> {
    const files = new DataFiles(resolve(dir), array);
    await mkdir(files.dir, { recursive: true });
    files.#takeOwnership();
    files.#removeAll();
    return files;
  }

  path(id: number): string {
    return join(this.dir, `${this.#array}-${id}.raw`);
  }

  /** A file of `size` bytes that reads as zeros, or as the object `from` at its beginning. */
  async create(id: number, size: number, from?: number): Promise<void> {
    await this.#write(id, size, from);
  }

  /** Puts other content under a volume, all at once; devices over the old file keep the old one. */
  async restore(id: number, from: number, size: number): Promise<void> {
    await this.#write(id, size, from);
  }

  async resize(id: number, size: number): Promise<void> {
    await truncate(this.path(id), size);
  }

  async remove(id: number): Promise<void> {
    await rm(this.path(id), { force: true });
  }

  /** Bytes of every file, by object number. */
  sizes(): Map<number, number> {
    const found = new Map<number, number>();
    for (const name of readdirSync(this.dir)) {
      const [, id] = this.#dataFile.exec(name) ?? [];
      if (id !== undefined) found.set(Number(id), statSync(join(this.dir, name)).size);
    }
    return found;
  }

  /** Removes all files, not the directory. */
  close(): void {
    this.#removeAll();
    rmSync(this.#ownerFile, { force: true });
  }

  get #ownerFile(): string {
    return join(this.dir, `${this.#array}-sim.pid`);
  }

  async #write(id: number, size: number, from: number | undefined): Promise<void> {
    const made = `${this.path(id)}.new`;
    try {
      if (from === undefined) await (await open(made, "wx", 0o600)).close();
      else await copy(this.path(from), made);
      await truncate(made, size);
      await rename(made, this.path(id));
    } catch (error) {
      await rm(made, { force: true });
      throw error;
    }
  }

  #removeAll(): void {
    for (const name of readdirSync(this.dir)) if (this.#dataFile.test(name)) rmSync(join(this.dir, name));
  }

  /** Two simulators in one directory would remove each other's files. */
  #takeOwnership(): void {
    const path = this.#ownerFile;
    for (;;) {
      try {
        writeFileSync(path, `${process.pid}\n`, { flag: "wx" });
        return;
      } catch (error) {
        if ((error as { code?: string }).code !== "EEXIST") throw error;
      }
      const owner = Number(readFileSync(path, "utf8"));
      if (isAlive(owner)) throw new Error(`'${this.dir}' belongs to the simulator with process id ${owner}`);
      rmSync(path, { force: true });
    }
  }
}

async function copy(from: string, to: string): Promise<void> {
  const args = ["--reflink=auto", "--sparse=auto", "--no-target-directory", "--", from, to];
  await run("/bin/cp", args, { env: { LC_ALL: "C" } });
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: string }).code === "EPERM";
  }
}
