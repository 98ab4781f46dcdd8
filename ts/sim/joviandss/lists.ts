// SPDX-License-Identifier: AGPL-3.0-or-later
import { refuse } from "./refusal.js";
import { type Ask, ok, type Result, type World } from "./world.js";

/** A list in the shape and with the faults of the moment. `created` hides what is too young. */
export function listed<T extends { readonly created: number }>(
  world: World,
  ask: Ask,
  objects: Iterable<T>,
  row: (object: T) => unknown,
): Result {
  const { behaviour } = world;
  const youngest = world.now() - behaviour.listLagMs;
  const old = [...objects].filter(({ created }) => behaviour.listLagMs === 0 || created <= youngest);
  const rows = old.map(row);
  if (behaviour.lists === "array" || ask.has("bare")) return ok(shortened(ask, rows));
  const page = behaviour.ignoresPage ? 0 : numberOf(ask.query, "page", 0);
  const size = numberOf(ask.query, "per_page", behaviour.pageSize);
  const entries = size === 0 ? (page === 0 ? rows : []) : rows.slice(page * size, (page + 1) * size);
  const wrong = behaviour.wrongResults || ask.has("results");
  return ok({ results: wrong ? Math.floor(rows.length / 2) : rows.length, entries: shortened(ask, entries) });
}

function shortened(ask: Ask, rows: unknown[]): unknown[] {
  return ask.has("partial") ? rows.slice(0, Math.floor(rows.length / 2)) : rows;
}

function numberOf(query: URLSearchParams, name: string, otherwise: number): number {
  const given = query.get(name);
  if (given === null) return otherwise;
  if (!/^[0-9]{1,9}$/.test(given)) throw refuse.invalid(`${name}: '${given}' is not an integer`);
  return Number(given);
}
