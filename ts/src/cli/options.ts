// SPDX-License-Identifier: AGPL-3.0-or-later
import { type ParseArgsConfig, parseArgs } from "node:util";
import { fail } from "../common/errors.js";
import { defaultSocket } from "./client.js";
import { defaultConfig } from "./section.js";

/** One option of a command: how it is parsed and what the help says. */
export interface Option {
  readonly type: "string" | "boolean";
  readonly help: string;
  /** Placeholder of the value in the help. */
  readonly value?: string;
  /** May be given more than once. */
  readonly multiple?: boolean;
}

export type Values = Record<string, string | boolean | readonly string[] | undefined>;

export interface Command {
  readonly name: string;
  /** The positional arguments, as the help shows them. */
  readonly operands: string;
  readonly summary: string;
  readonly details?: string;
  /** Left out of the overview. */
  readonly hidden?: boolean;
  readonly options: Readonly<Record<string, Option>>;
  /** Returns the exit status. */
  run(values: Values, operands: readonly string[]): Promise<number>;
}

/** Options that several commands share. */
export const common = {
  socket: { type: "string", value: "PATH", help: `service's socket (default ${defaultSocket})` },
  config: { type: "string", value: "FILE", help: `configuration (default ${defaultConfig})` },
  json: { type: "boolean", help: "print the result as JSON" },
} as const satisfies Record<string, Option>;

export function socketOf(values: Values): string {
  return text(values, "socket") ?? process.env["PVE_BLOCKIO_SOCKET"] ?? defaultSocket;
}

export function configOf(values: Values): string {
  return text(values, "config") ?? defaultConfig;
}

/** The value of a string option. */
export function text(values: Values, name: string): string | undefined {
  const value = values[name];
  return typeof value === "string" ? value : undefined;
}

/** The values of a string option that may be given more than once. */
export function texts(values: Values, name: string): readonly string[] {
  const value = values[name];
  return typeof value === "object" ? value : [];
}

/** A number of bytes or bytes per second, with an optional K, M, G or T (powers of 1024); throws `invalid`. */
export function bytes(values: Values, name: string): bigint | undefined {
  const value = text(values, name);
  return value === undefined ? undefined : bytesOf(name, value);
}

/** The same for a value that was split off. */
export function bytesOf(name: string, value: string): bigint {
  const match = /^([1-9][0-9]{0,15})([KMGT]?)$/.exec(value);
  if (!match?.[1])
    throw fail("invalid", `--${name} '${value}' is not a number of bytes such as 52428800 or 50M`);
  return BigInt(match[1]) * 1024n ** BigInt(match[2] ? "KMGT".indexOf(match[2]) + 1 : 0);
}

/** Parses the arguments of one command; throws `invalid` with a hint. */
export function parseCommand(
  command: Command,
  args: readonly string[],
): { values: Values; operands: string[] } {
  const options: ParseArgsConfig["options"] = { help: { type: "boolean", short: "h" } };
  for (const [name, { type, multiple = false }] of Object.entries(command.options))
    options[name] = { type, multiple };
  try {
    const parsed = parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
    return { values: parsed.values as Values, operands: parsed.positionals };
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split(". ")[0] ?? error.message) : String(error);
    throw fail("invalid", `${reason}; see pve-blockio ${command.name} --help`, error);
  }
}

/** The help of one command, within 79 columns. */
export function helpOf(command: Command): string {
  const lines = [`Usage: pve-blockio ${command.name} ${command.operands}`.trim(), "", command.summary];
  if (command.details) lines.push("", command.details);
  const rows = Object.entries(command.options).map(([name, option]) => ({
    left: `  --${name}${option.value ? ` ${option.value}` : ""}`,
    right: option.help,
  }));
  const width = Math.max(...rows.map((row) => row.left.length), 0) + 2;
  lines.push("", "Options:", ...rows.map((row) => row.left.padEnd(width) + row.right));
  return `${lines.join("\n")}\n`;
}
