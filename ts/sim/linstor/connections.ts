// SPDX-License-Identifier: AGPL-3.0-or-later
import { changeProperties, type PropertyChanges } from "./properties.js";
import { refuse } from "./replies.js";
import { connectionKey, type Definition, type Properties, type State } from "./state.js";
import type { Command, Query } from "./world.js";

export const allowTwoPrimaries = "DrbdOptions/Net/allow-two-primaries";

/** Changes properties of one connection; both resources must be there. */
export const connectionModify: Command<PropertyChanges> = async ({ state }, { at, body }, out) => {
  const definition = state.usableDefinition(at["definition"] ?? "");
  const ends = [at["one"] ?? "", at["other"] ?? ""].map((node) => state.resource(definition, node).node.name);
  const [one = "", other = ""] = ends;
  if (one === other) throw refuse("noResource", `'${one}' has no connection to itself.`);
  const key = connectionKey(one, other);
  const props = { ...definition.connections.get(key) };
  changeProperties(props, body);
  if (Object.keys(props).length > 0) definition.connections.set(key, props);
  else definition.connections.delete(key);
  out.modified(
    "resource connection",
    `Resource connection between '${one}' and '${other}' of '${definition.name}' modified.`,
    {
      refs: { RscDfn: definition.name, "1stNode": one, "2ndNode": other },
    },
  );
  for (const node of ends)
    out.modified("resource connection", `(${node}) Resource '${definition.name}' [DRBD] adjusted.`);
};

export const connectionList: Query = ({ state }, { at }) => {
  const definition = state.definition(at["definition"] ?? "");
  const nodes = definition.resources
    .values()
    .map(({ node }) => node.name)
    .sort();
  const rows = nodes.flatMap((one, n) => nodes.slice(n + 1).map((other) => rowOf(definition, one, other)));
  return rows.filter(({ props }) => Object.keys(props).length > 0);
};

export const connectionGet: Query = ({ state }, { at }) => {
  const definition = state.definition(at["definition"] ?? "");
  const [one, other] = [at["one"] ?? "", at["other"] ?? ""].map((node) => state.node(node).name).sort();
  return [rowOf(definition, one ?? "", other ?? "")];
};

function rowOf(
  { connections }: Definition,
  one: string,
  other: string,
): { node_a: string; node_b: string; props: Properties } {
  return { node_a: one, node_b: other, props: connections.get(connectionKey(one, other)) ?? {} };
}

/** May both nodes of a pair be Primary? The nearest property decides. */
export function mayBothWrite(state: State, definition: Definition, one: string, other: string): boolean {
  const props = [
    definition.connections.get(connectionKey(one, other)) ?? {},
    definition.props,
    definition.group.props,
    state.props,
  ];
  const nearest = (key: string) => props.map((own) => own[key]).find((value) => value !== undefined);
  return nearest(allowTwoPrimaries) === "yes" && (nearest("DrbdOptions/Net/protocol") ?? "C") === "C";
}
