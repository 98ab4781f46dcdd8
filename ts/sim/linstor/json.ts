// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Answer } from "../common/exchange.js";

/** In front of the digits of a number that a double cannot hold. No name can contain it. */
const mark = "\0int:";
const marked = new RegExp(`"${JSON.stringify(mark).slice(1, -1).replaceAll("\\", "\\\\")}(-?[0-9]+)"`, "g");

/**
 * JSON as the service writes it: 64-bit numbers with all of their digits, and members without content (null, empty
 * strings, lists and maps) left out.
 */
function exactJson(value: unknown): string {
  const text = JSON.stringify(sparse(value), (_key, part: unknown) =>
    typeof part === "bigint" ? `${mark}${part}` : part,
  );
  return text.replaceAll(marked, "$1");
}

export function exactAnswer(status: number, value: unknown): Answer {
  return { status, type: "application/json", text: exactJson(value) };
}

/** Without empty members; elements of lists and the value itself stay. */
function sparse(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sparse);
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value).filter(([, member]) => !isEmpty(member));
  return Object.fromEntries(members.map(([name, member]) => [name, sparse(member)]));
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === "") return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}
