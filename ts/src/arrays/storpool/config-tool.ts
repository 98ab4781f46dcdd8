// SPDX-License-Identifier: AGPL-3.0-or-later
import { fail } from "../../common/errors.js";
import { findProgram, run } from "../../common/process.js";
import type { Variables } from "./config-file.js";

const deadlineMs = 10_000;

/** The path of `storpool_confget` below `root`, undefined when it is not installed. */
export function findConfget(root: string): Promise<string | undefined> {
  return findProgram("storpool_confget", root);
}

/**
 * Runs `storpool_confget` and returns the variables it prints. The variables of the environment that override files are
 * applied by us, in the same way for both sources.
 *
 * @throws `timeout` when it takes too long, `invalid` when it fails. What the tool printed is in neither: it may quote
 *   the token.
 */
export async function runConfget(path: string, signal: AbortSignal): Promise<Variables> {
  const { status, stdout } = await run(path, [], { signal, limitMs: deadlineMs }).catch((error: unknown) => {
    throw fail("timeout", `read StorPool configuration: ${(error as Error).message}`);
  });
  if (status !== 0) {
    throw fail(
      "invalid",
      `read StorPool configuration: ${path} failed (status ${status}); run it by hand to see why`,
    );
  }
  const variables: Variables = new Map();
  for (const line of stdout.split("\n")) {
    const equals = line.indexOf("=");
    // The tool may put blanks around the sign, as they stand in the file.
    if (equals > 0) variables.set(line.slice(0, equals).trim(), line.slice(equals + 1).trim());
  }
  return variables;
}
