// SPDX-License-Identifier: AGPL-3.0-or-later
import type * as z from "zod";
import type { definitionCreateArguments, definitionModifyArguments } from "./arguments.js";
import { dropResource } from "./deploy.js";
import { layersOf } from "./layers.js";
import { checkName, Names } from "./names.js";
import { changeProperties, checkProperties } from "./properties.js";
import { Replies, refuse } from "./replies.js";
import type { Definition, Group, LayerKind, Properties } from "./state.js";
import { refuseInUse } from "./use.js";
import { addVolumeDefinition } from "./volume-definitions.js";
import type { Command, World } from "./world.js";

interface Wanted {
  readonly name: string | undefined;
  readonly externalName: string | undefined;
  readonly group: Group;
  readonly props: Properties;
  readonly layers: readonly LayerKind[];
  readonly sizes: readonly { readonly number: number | undefined; readonly size: number }[];
}

/** Makes a definition with its volumes, and says so. */
export function createDefinition(world: World, wanted: Wanted, out: Replies): Definition {
  const { externalName, group, layers } = wanted;
  const { state } = world;
  const name = wanted.name || generatedName(world, externalName);
  checkName("resource definition", name);
  const there = state.definitions.get(name);
  if (there)
    throw refuse(
      "definitionExists",
      `Resource definition '${there.name}' already exists.`,
      { refs: { RscDfn: there.name } },
      "resource definition",
    );
  checkProperties(wanted.props);
  const definition: Definition = {
    name,
    externalName,
    group,
    props: { ...wanted.props },
    layers,
    deleting: false,
    rollingBack: false,
    cloning: "no",
    sequenceBroken: false,
    volumes: new Map(),
    resources: new Names(),
    snapshots: new Names(),
    connections: new Map(),
    port: world.port(),
    uuid: world.uuid(),
    nextNodeId: 0,
  };
  const entry = { refs: { RscGrp: group.name, RscDfn: name }, details: `UUID: ${definition.uuid}` };
  const volumes = new Replies("create", "volume definition");
  for (const { number, size } of wanted.sizes)
    addVolumeDefinition(world, definition, { number, size, props: {} }, volumes);
  state.definitions.set(name, definition);
  out.created("resource definition", `New resource definition '${name}' created.`, entry);
  out.entries.push(...volumes.entries);
  return definition;
}

/** A name for an external one, which can be any string. */
function generatedName(world: World, externalName: string | undefined): string {
  if (!externalName) throw refuse("invalidResourceName", "Neither a name nor an external name was given.");
  if (world.state.definitions.values().some((one) => one.externalName === externalName))
    throw refuse(
      "externalNameExists",
      `Resource definition with external name '${externalName}' already exists.`,
    );
  const plain = externalName.replaceAll(/[^A-Za-z0-9_-]/g, "").slice(0, 24);
  return `_${plain}_${world.suffix(8)}`;
}

export const definitionCreate: Command<z.output<typeof definitionCreateArguments>> = async (
  world,
  ask,
  out,
) => {
  const { name, external_name, props, layer_data, resource_group_name } = ask.body.resource_definition;
  const group = world.state.group(resource_group_name ?? "DfltRscGrp");
  const layers = layersOf(
    group.filter,
    layer_data.map(({ type }) => type),
  );
  createDefinition(world, { name, externalName: external_name, group, props, layers, sizes: [] }, out);
};

export const definitionModify: Command<z.output<typeof definitionModifyArguments>> = async (
  world,
  ask,
  out,
) => {
  const { body } = ask;
  const definition = world.state.definition(ask.at["definition"] ?? "");
  const key = "DrbdOptions/ExactSize";
  const exact = body.override_props[key];
  if (exact !== undefined && exact !== definition.props[key] && definition.resources.size > 0)
    throw refuse("invalidProperty", `${key} cannot be set while resources are deployed.`, {
      refs: { RscDfn: definition.name },
    });
  const group = body.resource_group === undefined ? definition.group : world.state.group(body.resource_group);
  changeProperties(definition.props, body);
  definition.group = group;
  const details = `Resource definition '${definition.name}' UUID is: ${definition.uuid}`;
  const refs = { RscDfn: definition.name };
  out.modified("resource definition", `Resource definition '${definition.name}' modified.`, {
    refs,
    details,
  });
};

/** Deletes a definition with its resources, not with its snapshots. */
export const definitionDelete: Command = async (world, { at }, out) => {
  const { state } = world;
  const name = at["definition"] ?? "";
  if (!state.definitions.has(name))
    return out.say("warnNotFound", `Resource definition '${name}' not found.`, { refs: { RscDfn: name } });
  const definition = state.usableDefinition(name);
  const refs = { RscDfn: definition.name };
  if (definition.snapshots.size > 0)
    throw refuse(
      "snapshotExists",
      `Cannot delete resource definition '${definition.name}' because it has snapshots.`,
      {
        refs,
      },
    );
  refuseInUse(world, definition, "delete");
  definition.deleting = true;
  const diskless = definition.resources.values().filter(({ kind }) => kind !== "diskful");
  for (const resource of [...diskless, ...definition.resources.values()]) {
    const { node } = resource;
    resource.deleting = true;
    if (!node.online) {
      if (!diskless.includes(resource))
        out.say("warnNotConnected", `No active connection to satellite '${node.name}'`, {}, "node");
      continue;
    }
    if (!definition.resources.has(node.name)) continue;
    dropResource(resource);
    out.deleted("resource", `Resource '${definition.name}' on '${node.name}' deleted`);
  }
  finishDeletion(world, definition);
  if (!state.definitions.has(definition.name))
    out.deleted("resource definition", `Resource definition '${definition.name}' deleted.`, {
      refs,
      details: `Resource definition '${definition.name}' UUID was: ${definition.uuid}`,
    });
  else
    out.modified("resource definition", `Resource definition '${definition.name}' marked for deletion.`, {
      refs,
    });
};

/** A definition that is being deleted goes with its last resource. */
export function finishDeletion({ state }: World, definition: Definition): void {
  if (definition.deleting && definition.resources.size === 0) state.definitions.delete(definition.name);
}
