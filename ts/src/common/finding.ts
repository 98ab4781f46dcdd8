// SPDX-License-Identifier: AGPL-3.0-or-later
import { BlockioError } from "./errors.js";

/** How bad a finding is: `warning` works now, but will not always; `error` does not work. */
export type Level = "ok" | "warning" | "error";

/** What one check of `pve-blockio doctor` found. */
export interface Finding {
  /** The check, in a word: `service`, `credentials`, `multipathd`, … */
  readonly check: string;
  readonly level: Level;
  /** What is so, in one line. */
  readonly text: string;
  /** What to do about it. */
  readonly remedy?: string;
}

export const ok = (check: string, text: string): Finding => ({ check, level: "ok", text });
export const warning = (check: string, text: string, remedy: string): Finding => ({
  check,
  level: "warning",
  text,
  remedy,
});
export const error = (check: string, text: string, remedy: string): Finding => ({
  check,
  level: "error",
  text,
  remedy,
});

/** An error as a finding. Our messages end in what to do next, behind the last semicolon. */
export function findingOf(check: string, thrown: unknown): Finding {
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const at = message.lastIndexOf("; ");
  if (!(thrown instanceof BlockioError))
    return error(check, message, "report it with the output of pve-blockio doctor --json");
  return at < 0
    ? error(check, message, `look up '${thrown.code}' in /usr/share/doc/pve-blockio/errors.md`)
    : error(check, message.slice(0, at), message.slice(at + 2));
}
