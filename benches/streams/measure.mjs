// SPDX-License-Identifier: AGPL-3.0-or-later
// One timed run of one pipeline.
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";

const prelude = `set -o pipefail
measured() { local name=$1; shift; /usr/bin/time -q -o "$SCRATCH/rss-$name" -f %M "$@"; }
`;

/** Runs a shell pipeline that must succeed; returns its standard output. */
export function shell(command, environment) {
  const result = spawnSync("bash", ["-c", prelude + command], {
    env: { ...process.env, ...environment },
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
  if (result.status !== 0) {
    throw new Error(`${command}: ${result.signal ?? `status ${result.status}`}: ${result.stderr}`);
  }
  return result.stdout;
}

/** Seconds from before the first process starts to after the last one ended, and kilobytes by process. */
export function sample(pipeline, environment) {
  const { SCRATCH: scratch, TARGET: target } = environment;
  rmSync(target, { force: true });
  for (const name of readdirSync(scratch)) if (name.startsWith("rss-")) rmSync(join(scratch, name));
  const start = process.hrtime.bigint();
  shell(pipeline.command, environment);
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  const memory = {};
  for (const name of readdirSync(scratch)) {
    if (name.startsWith("rss-")) memory[name.slice(4)] = Number(readFileSync(join(scratch, name), "utf8"));
  }
  const written = pipeline.writes ? statSync(target).blocks * 512 : undefined;
  return { seconds, memory, written };
}
