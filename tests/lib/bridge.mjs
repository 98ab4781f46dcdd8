// SPDX-License-Identifier: AGPL-3.0-or-later
// The service as a child process, and a client of it, for suites that treat both badly.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createConnection } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

/** Starts the built service; resolves once it answers. */
export async function startService(socket, program = "dist/pve-blockio.cjs") {
  const child = spawn(process.execPath, [program, "serve", "--socket", socket, "--log-level", "warn"], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  const orphan = () => child.kill("SIGKILL");
  process.on("exit", orphan);
  child.once("exit", () => process.off("exit", orphan));
  for (const end = performance.now() + 60_000; performance.now() < end; ) {
    if (child.exitCode !== null) throw new Error(`the service ended with status ${child.exitCode}`);
    const answer = await send(socket, { method: "ping" }).catch(() => undefined);
    if (answer?.result) return child;
    await sleep(10);
  }
  throw new Error("the service did not come up");
}

export async function killService(child, signal = "SIGKILL") {
  const ended = child.exitCode === null && child.signalCode === null ? once(child, "exit") : undefined;
  child.kill(signal);
  await ended;
}

/** Sends one request on a connection of its own. Rejects when the connection ends without an answer. */
export function send(socket, request) {
  return new Promise((resolve, reject) => {
    const connection = createConnection({ path: socket });
    connection.on("error", reject);
    connection.on("close", () => reject(new Error("closed without an answer")));
    const lines = createInterface({ input: connection });
    // Repeats what the connection says; left alone it would end the process.
    lines.on("error", () => {});
    lines.on("line", (line) => {
      const reply = JSON.parse(line);
      if (reply.working) return;
      resolve(reply);
      connection.destroy();
    });
    connection.write(`${JSON.stringify({ id: 1, args: {}, ...request })}\n`);
  });
}

/** A reproducible source of random numbers in [0, 1). */
export function randomFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
