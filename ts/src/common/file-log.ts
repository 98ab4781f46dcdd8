// SPDX-License-Identifier: AGPL-3.0-or-later
import { appendFile, chmod, mkdir, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { codeOf } from "./errors.js";

/** A file of this many bytes becomes the first of so many older ones. */
const maxBytes = 16 * 1024 * 1024;
const backups = 5;
/** What waits to be written while the disk is slow; more is dropped. */
const maxWaiting = 10_000;

/** A log in a file, with older ones beside it: `FILE.1` is the youngest. Writing never fails and keeps nobody waiting. */
export class FileLog {
  #waiting: string[] = [];
  #work: Promise<void> | undefined;
  #broken = false;

  constructor(
    private readonly path: string,
    private readonly limits: { readonly maxBytes: number; readonly backups: number } = { maxBytes, backups },
  ) {}

  /** Adds a line, which ends in a line feed. */
  write(line: string): void {
    if (this.#waiting.length >= maxWaiting) return;
    this.#waiting.push(line);
    this.#work ??= this.#flush().finally(() => {
      this.#work = undefined;
    });
  }

  /** Waits until all is written. */
  async close(): Promise<void> {
    while (this.#work) await this.#work;
  }

  async #flush(): Promise<void> {
    while (this.#waiting.length > 0) {
      const text = this.#waiting.splice(0).join("");
      try {
        await this.#append(text);
        this.#broken = false;
      } catch (error) {
        // Said once, where the service's own log is.
        if (!this.#broken) process.stderr.write(`log file ${this.path}: ${String(error)}\n`);
        this.#broken = true;
      }
    }
  }

  async #append(text: string): Promise<void> {
    const size = await this.#size();
    if (size === undefined) await mkdir(dirname(this.path), { recursive: true, mode: 0o750 });
    else if (size > 0 && size + Buffer.byteLength(text) > this.limits.maxBytes) await this.#rotate();
    await appendFile(this.path, text, { mode: 0o640 });
    // Earlier plugins made it readable to everybody.
    if (size !== undefined) await chmod(this.path, 0o640);
  }

  async #size(): Promise<number | undefined> {
    return stat(this.path).then(
      ({ size }) => size,
      (error: unknown) => {
        if (codeOf(error) === "absent") return undefined;
        throw error;
      },
    );
  }

  async #rotate(): Promise<void> {
    await rm(`${this.path}.${this.limits.backups}`, { force: true });
    for (let number = this.limits.backups; number > 0; number--) {
      const older = number === 1 ? this.path : `${this.path}.${number - 1}`;
      await rename(older, `${this.path}.${number}`).catch((error: unknown) => {
        if (codeOf(error) !== "absent") throw error;
      });
    }
  }
}
