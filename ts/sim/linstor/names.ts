// SPDX-License-Identifier: AGPL-3.0-or-later
import type { CodeName } from "./codes.js";
import { refuse } from "./replies.js";

const kinds = {
  "resource definition": "invalidResourceName",
  snapshot: "invalidSnapshotName",
  "resource group": "invalidGroupName",
} as const satisfies Record<string, CodeName>;

const [shortest, longest] = [2, 48];
const reserved = ["all", "proxy"];

/** Refuses a name that the service does not take. */
export function checkName(kind: keyof typeof kinds, name: string): void {
  const problem = problemOf(name);
  if (problem === undefined) return;
  throw refuse(kinds[kind], `The specified ${kind} name '${name}' is invalid.`, { cause: problem });
}

function problemOf(name: string): string | undefined {
  if (name.length < shortest) return `Shorter than ${shortest} characters`;
  if (name.length > longest) return `Longer than ${longest} characters`;
  if (reserved.includes(name.toLowerCase())) return "Is reserved";
  if (!/^[A-Za-z_][A-Za-z0-9_-]*$/.test(name)) return "Has a character where it must not be";
  if (!/[A-Za-z]/.test(name)) return "Has no letter";
  return undefined;
}

/** Objects by name: compared without case, shown as they were made. */
export class Names<T> {
  readonly #map = new Map<string, T>();

  get(name: string): T | undefined {
    return this.#map.get(name.toUpperCase());
  }

  has(name: string): boolean {
    return this.#map.has(name.toUpperCase());
  }

  set(name: string, value: T): void {
    this.#map.set(name.toUpperCase(), value);
  }

  delete(name: string): void {
    this.#map.delete(name.toUpperCase());
  }

  values(): T[] {
    return [...this.#map.values()];
  }

  get size(): number {
    return this.#map.size;
  }
}

/** Are two names the same? */
export function same(one: string, other: string): boolean {
  return one.toUpperCase() === other.toUpperCase();
}
