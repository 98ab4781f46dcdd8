// SPDX-License-Identifier: AGPL-3.0-or-later
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fail } from "../common/errors.js";
import { findProgram } from "../common/process.js";
import { type Command, text } from "./options.js";
import { print } from "./output.js";

const usualLines = 200;

export const log: Command = {
  name: "log",
  operands: "STOREID [--follow]",
  summary: "Show what the service has logged of a storage.",
  details:
    "Reads the journal of pve-blockio.service. A failed call is told with its method,\nits volume and the error.",
  options: {
    follow: { type: "boolean", help: "go on with new lines until interrupted" },
    lines: { type: "string", value: "N", help: `the last N lines (default ${usualLines})` },
    since: { type: "string", value: "TIME", help: "from then on, for instance --since=-2h (default -1d)" },
    json: { type: "boolean", help: "print the lines as they are, JSON" },
  },
  async run(values, operands) {
    const [storeid] = operands;
    if (storeid === undefined || operands.length > 1) throw fail("invalid", "log: name one storage");
    const lines = text(values, "lines") ?? String(usualLines);
    if (!/^[1-9][0-9]{0,6}$/.test(lines))
      throw fail("invalid", `log: --lines '${lines}' is not a number of lines`);
    const since = text(values, "since") ?? "-1d";
    if (!/^[-+0-9A-Za-z: ]{1,40}$/.test(since))
      throw fail(
        "invalid",
        `log: --since '${since}' is no time; write --since=-1h or --since='2026-01-31 12:00'`,
      );
    const program = await findProgram("journalctl");
    if (program === undefined)
      throw fail("unsupported", "log: journalctl is missing; look where the service's standard error goes");
    const json = values["json"] === true;
    const follow = values["follow"] === true;
    const args = ["--unit=pve-blockio.service", "--output=cat", "--no-pager", "--quiet", `--since=${since}`];
    const child = spawn(program, follow ? [...args, "--follow", "--lines=all"] : args, {
      shell: false,
      stdio: ["ignore", "pipe", "inherit"],
      env: { PATH: "/usr/bin:/bin", LC_ALL: "C" },
    });
    const ended = once(child, "close");
    let kept: string[] = [];
    let caughtUp: NodeJS.Timeout | undefined;
    const flush = () => {
      print(kept.join(""));
      kept = [];
    };
    for await (const line of createInterface({ input: child.stdout })) {
      const shown = shownLine(line, storeid, json);
      if (shown === undefined) continue;
      kept.push(shown);
      if (kept.length > Number(lines)) kept.shift();
      if (!follow) continue;
      // What the journal has is told in one go; what comes later is shown when it comes.
      clearTimeout(caughtUp);
      caughtUp = setTimeout(flush, 100);
    }
    if (kept.length === 0 && !follow)
      process.stderr.write(
        `log: the journal has no lines of '${storeid}' since ${since}; see pvesm status for the names\n`,
      );
    flush();
    const [status] = (await ended) as [number | null];
    if (status !== 0 && status !== null)
      throw fail(
        "refused",
        `log: journalctl ended with status ${status}; are you root or in group systemd-journal?`,
      );
    return 0;
  },
};

/** One line of the service's log for people, or as it is; undefined when it is about something else. */
export function shownLine(line: string, storeid: string, json: boolean): string | undefined {
  let record: Record<string, unknown>;
  try {
    record = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
  if (typeof record !== "object" || record === null || record["storeid"] !== storeid) return undefined;
  if (json) return `${line}\n`;
  const { time, level, message, method, storeid: _, error, ...rest } = record;
  const { code, message: why } = (error ?? {}) as { code?: unknown; message?: unknown };
  const fields = Object.entries(rest).map(
    ([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`,
  );
  const parts = [time, String(level).toUpperCase().padEnd(5), method, message, ...fields];
  const said = parts.filter((part) => part !== undefined).join(" ");
  return `${why === undefined ? said : `${said}: ${String(why)} (${String(code)})`}\n`;
}
