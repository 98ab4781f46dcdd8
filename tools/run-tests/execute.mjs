// SPDX-License-Identifier: AGPL-3.0-or-later
// Runs one suite: its output is kept in build/test-logs/ and, when asked for, shown as it comes.
import { spawn } from "node:child_process";
import { createWriteStream } from "node:fs";

export const LOG_DIRECTORY = "build/test-logs";
const TIME_LIMIT_MS = 60 * 60 * 1000; // a suite that hangs, not one that is slow
const KILL_AFTER_MS = 10 * 1000;

// The suite's whole process group: its children must not outlive it.
function signalGroup(child, signal) {
  try {
    process.kill(-child.pid, signal);
  } catch (error) {
    if (error.code !== "ESRCH") throw error;
  }
}

function limitTime(child, onExpiry) {
  let kill;
  const expire = setTimeout(() => {
    onExpiry();
    signalGroup(child, "SIGTERM");
    kill = setTimeout(() => signalGroup(child, "SIGKILL"), KILL_AFTER_MS);
  }, TIME_LIMIT_MS);
  return () => {
    clearTimeout(expire);
    clearTimeout(kill);
  };
}

/** @returns {Promise<{status: number | null, signal: string | null, timedOut: boolean, text: string}>} */
export function execute({ name, command }, shown) {
  const [program, ...args] = command;
  const env = { ...process.env, LC_ALL: "C", NO_COLOR: "1", CARGO_TERM_COLOR: "never" };
  const child = spawn(program, args, { env, stdio: ["ignore", "pipe", "pipe"], detached: true });
  const log = createWriteStream(`${LOG_DIRECTORY}/${name}.log`);
  const chunks = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk) => {
      chunks.push(chunk);
      log.write(chunk);
      if (shown) process.stdout.write(chunk);
    });
  }
  const forward = (signal) => signalGroup(child, signal);
  process.on("SIGINT", forward).on("SIGTERM", forward);
  let timedOut = false;
  const stopTimer = limitTime(child, () => {
    timedOut = true;
  });
  return new Promise((resolve) => {
    const finish = (status, signal) => {
      stopTimer();
      process.off("SIGINT", forward).off("SIGTERM", forward);
      log.end();
      resolve({ status, signal, timedOut, text: Buffer.concat(chunks).toString("utf8") });
    };
    child.on("error", (error) => {
      process.stdout.write(`${name}: cannot start ${program}: ${error.message}\n`);
      finish(127, null);
    });
    child.on("close", finish);
  });
}
