// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Behaviour } from "./behaviour.js";
import { same } from "./names.js";
import { allocatedFor, freeOf, largestIn } from "./pools.js";
import {
  type Definition,
  diskful,
  type LayerKind,
  type Pool,
  type SatelliteNode,
  type SelectFilter,
  type State,
} from "./state.js";

/** Members of the first that are given, over those of the second. */
export function mergeFilters(over: SelectFilter | undefined, under: SelectFilter): SelectFilter {
  const given = Object.entries(over ?? {}).filter(
    ([, value]) => value !== undefined && !(Array.isArray(value) && value.length === 0),
  );
  return { ...under, ...Object.fromEntries(given) };
}

function listed(list: readonly string[] | undefined, name: string): boolean {
  return !list || list.length === 0 || list.some((one) => same(one, name));
}

/** Can the placer choose this node at all? */
export function isPlaceable(node: SatelliteNode, filter: SelectFilter): boolean {
  return node.online && node.flags.size === 0 && listed(filter.node_name_list, node.name);
}

/** The pools that a filter names, on nodes that can be chosen. */
export function candidates(state: State, filter: SelectFilter, layers: readonly LayerKind[]): Pool[] {
  const names = filter.storage_pool_list?.length
    ? filter.storage_pool_list
    : filter.storage_pool === undefined
      ? []
      : [filter.storage_pool];
  return state
    .pools()
    .filter(
      ({ node, name, kind }) =>
        isPlaceable(node, filter) &&
        layers.every((layer) => node.layers.includes(layer)) &&
        listed(names, name) &&
        listed(filter.provider_list, kind),
    );
}

/** What is to be placed. */
export interface Wanted {
  readonly definition: Definition;
  readonly filter: SelectFilter;
  readonly count: number;
  /** Only there. */
  readonly only?: SatelliteNode;
}

/** KiB that all volumes of a definition take in a pool. */
export function needed(definition: Definition, pool: Pool, behaviour: Behaviour): number {
  let sum = 0;
  for (const { size } of definition.volumes.values())
    sum += allocatedFor(definition, size, pool.kind, behaviour);
  return sum;
}

/**
 * Chooses pools, the freest first, each on another node that has no replica yet; undefined when there are not enough.
 * All replicas are in pools of one kind.
 */
export function choose(state: State, behaviour: Behaviour, wanted: Wanted): Pool[] | undefined {
  const { definition, filter, count, only } = wanted;
  const present = diskful(definition);
  const free = new Map<Pool, number>();
  for (const pool of candidates(state, filter, definition.layers)) {
    const { node } = pool;
    if (only && node !== only) continue;
    if (present.some((resource) => resource.node === node)) continue;
    if (needed(definition, pool, behaviour) > largestIn(pool, state, behaviour)) continue;
    free.set(pool, freeOf(pool, state, behaviour));
  }
  const sorted = [...free.keys()].sort((one, other) => (free.get(other) ?? 0) - (free.get(one) ?? 0));
  const taken = present.flatMap(({ volumes }) => [...volumes.values()].flatMap(({ pool }) => pool ?? []));
  const kinds = new Set([...taken, ...sorted].map(({ kind }) => kind));
  for (const kind of kinds) {
    const nodes = present.map(({ node }) => node);
    const chosen: Pool[] = [];
    for (const pool of sorted) {
      if (chosen.length === count) break;
      if (pool.kind !== kind || nodes.includes(pool.node) || !fits(filter, nodes, pool.node)) continue;
      nodes.push(pool.node);
      chosen.push(pool);
    }
    if (chosen.length === count) return chosen;
    // Replicas that are there decide the kind.
    if (taken.length > 0) return undefined;
  }
  return undefined;
}

/** Does a node's properties allow it beside the others? */
function fits(filter: SelectFilter, others: readonly SatelliteNode[], node: SatelliteNode): boolean {
  const [sameKeys, otherKeys] = [filter.replicas_on_same ?? [], filter.replicas_on_different ?? []];
  const alike = sameKeys.every((entry) => {
    const [key = "", value] = entry.split("=", 2);
    if (value !== undefined) return node.props[key] === value;
    return others.every(({ props }) => props[key] === node.props[key]);
  });
  return alike && otherKeys.every((key) => others.every(({ props }) => props[key] !== node.props[key]));
}
