// SPDX-License-Identifier: AGPL-3.0-or-later
// One timed run of one pipeline.
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

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

/** Waits until the processors are idle for a moment, but no longer than `seconds`. */
export async function settle(seconds) {
  const end = performance.now() + seconds * 1000;
  for (let before = busy(); performance.now() < end; before = busy()) {
    await sleep(300);
    const after = busy();
    if ((after.busy - before.busy) / (after.total - before.total) < 0.1) return;
  }
}

function busy() {
  const ticks = readFileSync("/proc/stat", "utf8").split("\n", 1)[0].trim().split(/\s+/).slice(1).map(Number);
  const total = ticks.reduce((sum, value) => sum + value, 0);
  // The fourth and fifth columns are idle and waiting for disks.
  return { total, busy: total - ticks[3] - ticks[4] };
}

/** Seconds from before the first process starts to after the last one ended, and kilobytes by process. */
export function sample(pipeline, environment, target) {
  const { SCRATCH: scratch } = environment;
  target.reset();
  for (const name of readdirSync(scratch)) if (name.startsWith("rss-")) rmSync(join(scratch, name));
  const start = process.hrtime.bigint();
  shell(pipeline.command, environment);
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  const memory = {};
  for (const name of readdirSync(scratch)) {
    if (name.startsWith("rss-")) memory[name.slice(4)] = Number(readFileSync(join(scratch, name), "utf8"));
  }
  const written = pipeline.writes ? target.written() : undefined;
  return { seconds, memory, written };
}
