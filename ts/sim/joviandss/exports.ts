// SPDX-License-Identifier: AGPL-3.0-or-later
import { spawn } from "node:child_process";
import type { Session } from "./state.js";

/** A LUN as an iSCSI target of the kernel needs it. */
export interface ExportedLun {
  readonly lun: number;
  readonly volume: string;
  /** Path of the data; undefined when the simulator keeps only records. */
  readonly file: string | undefined;
  /** Bytes; 0 for a LUN that is exported without capacity. */
  readonly size: number;
  readonly readOnly: boolean;
  readonly blockSize: number;
  /** As the API says it. Initiators see its first eight characters as EUI-64. */
  readonly scsiId: string;
  /** What udev and multipath make of it. */
  readonly wwid: string;
  /** Counts changes of the data by a rollback: the file is another one then and has to be opened again. */
  readonly revision: number;
}

/** A target with everything on it. */
export interface ExportedTarget {
  readonly iqn: string;
  readonly active: boolean;
  /** Addresses at which initiators may log in, `ADDRESS:PORT`. */
  readonly portals: readonly string[];
  /** Who may log in; undefined for everybody. */
  readonly chap: readonly { readonly name: string; readonly password: string }[] | undefined;
  readonly luns: readonly ExportedLun[];
}

/**
 * What makes the simulated targets real ones. Each call has the whole truth about a target, one call at a time. What it
 * throws becomes the array's `ScstAdminError`.
 */
export interface TargetExporter {
  /** Makes a target as described, whatever it was before. Sessions stay where that is possible. */
  apply(target: ExportedTarget): Promise<void>;
  /** Takes a target away with its sessions; succeeds when there is none. */
  remove(iqn: string): Promise<void>;
  /** Who is logged in. Without it the simulator says what its tests arranged. */
  sessions?(iqn: string): Promise<readonly Session[]>;
  /** Ends everything. */
  close?(): Promise<void>;
}

/**
 * Runs a program for each change: `PROGRAM apply` with the target as JSON on its standard input, `PROGRAM remove IQN`,
 * `PROGRAM sessions IQN` (prints a JSON array), `PROGRAM close`.
 */
export class ExportCommand implements TargetExporter {
  readonly #program: string;

  constructor(program: string) {
    this.#program = program;
  }

  async apply(target: ExportedTarget): Promise<void> {
    await this.#run(["apply"], JSON.stringify(target));
  }

  async remove(iqn: string): Promise<void> {
    await this.#run(["remove", iqn]);
  }

  async sessions(iqn: string): Promise<readonly Session[]> {
    return JSON.parse(await this.#run(["sessions", iqn])) as Session[];
  }

  async close(): Promise<void> {
    await this.#run(["close"]);
  }

  #run(args: readonly string[], input = ""): Promise<string> {
    return new Promise((resolve, reject) => {
      const child = spawn(this.#program, args, { stdio: ["pipe", "pipe", "inherit"], timeout: 60_000 });
      let printed = "";
      child.stdout.setEncoding("utf8").on("data", (part: string) => {
        printed += part;
      });
      child.once("error", reject);
      child.once("close", (status) => {
        if (status === 0) resolve(printed);
        else reject(new Error(`${this.#program} ${args.join(" ")} ended with ${status ?? "a signal"}`));
      });
      // A program that does not read its input is none of our business.
      child.stdin.on("error", () => {}).end(input);
    });
  }
}
