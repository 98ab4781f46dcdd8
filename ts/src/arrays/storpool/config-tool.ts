// SPDX-License-Identifier: AGPL-3.0-or-later
import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { join } from "node:path";
import { fail } from "../../common/errors.js";
import type { Variables } from "./config-file.js";

const directories = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/bin", "/sbin"];
const deadlineMs = 10_000;

/** The path of `storpool_confget` below `root`, undefined when it is not installed. */
export async function findConfget(root: string): Promise<string | undefined> {
  for (const directory of directories) {
    const path = join(root, directory, "storpool_confget");
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  return undefined;
}

/**
 * Runs `storpool_confget` and returns the variables it prints.
 *
 * @throws `timeout` when it takes too long, `invalid` when it fails. What the tool printed is in neither: it may quote
 *   the token.
 */
export async function runConfget(path: string, signal: AbortSignal): Promise<Variables> {
  const output = await new Promise<string>((resolve, reject) => {
    execFile(
      path,
      [],
      {
        shell: false,
        signal,
        timeout: deadlineMs,
        killSignal: "SIGKILL",
        maxBuffer: 1 << 20,
        // The variables that override files are applied by us, in the same way for both sources.
        env: { PATH: directories.join(":"), LC_ALL: "C", LANG: "C" },
      },
      (error, stdout) => {
        if (!error) resolve(stdout);
        else if (error.killed || error.name === "AbortError") {
          reject(
            fail(
              "timeout",
              `read StorPool configuration: ${path} did not end in time; run it by hand to see why`,
            ),
          );
        } else {
          const status = error.code ?? error.signal ?? "unknown";
          reject(
            fail(
              "invalid",
              `read StorPool configuration: ${path} failed (status ${status}); run it by hand to see why`,
            ),
          );
        }
      },
    );
  });
  const variables: Variables = new Map();
  for (const line of output.split("\n")) {
    const equals = line.indexOf("=");
    // The tool may put blanks around the sign, as they stand in the file.
    if (equals > 0) variables.set(line.slice(0, equals).trim(), line.slice(equals + 1).trim());
  }
  return variables;
}
