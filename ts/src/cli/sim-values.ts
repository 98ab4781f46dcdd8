// SPDX-License-Identifier: AGPL-3.0-or-later
import type * as z from "zod";
import { fail } from "../common/errors.js";
import { bytesOf, text, texts, type Values } from "./options.js";

/** A simulator that runs. */
export interface Running {
  /** What is printed when it listens: one address per line. */
  readonly addresses: readonly string[];
  close(): Promise<void>;
}

/** One array that can be simulated. */
export interface Simulated {
  /** Options that only this one has. */
  readonly own: readonly string[];
  start(values: Values): Promise<Running>;
}

/** `HOST:PORT` of `--listen`. */
export function listenOf(values: Values): { host: string; port: number } {
  const given = text(values, "listen") ?? "127.0.0.1:0";
  const [, host, port] = /^(.+):([0-9]{1,5})$/.exec(given) ?? [];
  if (!host || !port) throw fail("invalid", `--listen '${given}' is not HOST:PORT`);
  return { host, port: Number(port) };
}

/** `NAME` or `NAME:BYTES`. */
export function sizedOf(option: string, given: string): { name: string; size?: number } {
  const [, name, size] = /^([A-Za-z0-9_-]+)(?::(.+))?$/.exec(given) ?? [];
  if (!name) throw fail("invalid", `--${option} '${given}' is not NAME or NAME:BYTES`);
  return size === undefined ? { name } : { name, size: Number(bytesOf(option, size)) };
}

/** A port that an option names. */
export function portOf(option: string, given: string | undefined): number | undefined {
  if (given === undefined) return undefined;
  if (!/^[0-9]{1,5}$/.test(given) || Number(given) > 65_535)
    throw fail("invalid", `--${option} '${given}' is not a port`);
  return Number(given);
}

export function seedOf(values: Values): number {
  const given = text(values, "seed") ?? "1";
  if (!/^[0-9]{1,9}$/.test(given)) throw fail("invalid", `--seed '${given}' is not a number`);
  return Number(given);
}

/** NAME=VALUE options as a schema wants them; a value that is no JSON is a string. */
export function pairs<T extends z.ZodType>(values: Values, option: string, schema: T): z.output<T> {
  const given = texts(values, option).map((pair) => {
    const at = pair.indexOf("=");
    if (at < 1) throw fail("invalid", `--${option} '${pair}' is not NAME=VALUE`);
    return [pair.slice(0, at), jsonOf(pair.slice(at + 1))];
  });
  const result = schema.safeParse(Object.fromEntries(given));
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw fail("invalid", `--${option} ${issue?.path.join(".") ?? ""}: ${issue?.message}`);
}

function jsonOf(given: string): unknown {
  try {
    return JSON.parse(given);
  } catch {
    return given;
  }
}

export function some<T>(list: readonly T[]): readonly T[] | undefined {
  return list.length > 0 ? list : undefined;
}

/** An object with a member, or without when there is no value. */
export function defined<K extends string, V>(name: K, value: V | undefined): { [P in K]?: V } {
  return value === undefined ? {} : ({ [name]: value } as { [P in K]?: V });
}
