// SPDX-License-Identifier: AGPL-3.0-or-later
import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { join } from "node:path";
import { fail } from "./errors.js";

const directories = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin", "/sbin", "/bin"];

/** What a program left when it ended by itself. */
export interface Finished {
  /** Exit status; -1 when a signal ended it. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The path of a program below `root`; undefined when it is not installed. Never looked for in `PATH`. */
export async function findProgram(name: string, root = "/"): Promise<string | undefined> {
  for (const directory of directories) {
    const path = join(root, directory, name);
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  return undefined;
}

/** When a program that runs is to be stopped. */
export interface Limits {
  readonly signal: AbortSignal;
  /** Milliseconds that it may take. */
  readonly limitMs: number;
  /** For so many milliseconds, also an abort leaves it alone: it holds a lock that nobody else would take away. */
  readonly spareMs?: number;
}

/**
 * Runs a program without a shell, in the C locale.
 *
 * @throws `timeout` when it does not end in time or the signal aborts: it is killed then; `absent` when it is not there.
 *   What it printed is in no message: that is for the caller to decide.
 */
export function run(
  path: string,
  args: readonly string[],
  { signal, limitMs, spareMs = 0 }: Limits,
): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    const stop = new AbortController();
    const onAbort = () => {
      const spare = spareMs - (performance.now() - started);
      if (spare > 0) setTimeout(() => stop.abort(), spare);
      else stop.abort();
    };
    if (signal.aborted) stop.abort();
    else signal.addEventListener("abort", onAbort, { once: true });
    const options = {
      shell: false,
      signal: stop.signal,
      timeout: limitMs,
      killSignal: "SIGKILL",
      maxBuffer: 1 << 20,
      env: { PATH: directories.join(":"), LC_ALL: "C", LANG: "C" },
    } as const;
    execFile(path, args, options, (error, stdout, stderr) => {
      signal.removeEventListener("abort", onAbort);
      if (!error) resolve({ status: 0, stdout, stderr });
      else if (error.killed || error.name === "AbortError") {
        reject(fail("timeout", `${path} did not end in time; run it by hand to see why`));
      } else if (error.code === "ENOENT") reject(fail("absent", `${path} is not installed`));
      else resolve({ status: typeof error.code === "number" ? error.code : -1, stdout, stderr });
    });
  });
}
