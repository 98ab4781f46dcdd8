// SPDX-License-Identifier: AGPL-3.0-or-later
import type * as z from "zod";
import type {
  groupCreateArguments,
  groupModifyArguments,
  spawnArguments,
  volumeGroupArguments,
} from "./arguments.js";
import { autoplace } from "./autoplace.js";
import { createDefinition } from "./definitions.js";
import { layersOf } from "./layers.js";
import { checkName } from "./names.js";
import { mergeFilters } from "./placement.js";
import { changeProperties, checkProperties } from "./properties.js";
import { refuse } from "./replies.js";
import type { Group, State } from "./state.js";
import type { Command } from "./world.js";

export function addGroup(state: State, made: Group): void {
  if (state.groups.has(made.name))
    throw refuse("groupExists", `Resource group '${made.name}' already exists.`, {
      refs: { RscGrp: made.name },
    });
  state.groups.set(made.name, made);
}

export const groupCreate: Command<z.output<typeof groupCreateArguments>> = async (world, { body }, out) => {
  checkName("resource group", body.name);
  checkProperties(body.props);
  const { name, description, props, select_filter } = body;
  const uuid = world.uuid();
  addGroup(world.state, {
    name,
    description,
    props: { ...props },
    filter: select_filter,
    volumeGroups: [],
    uuid,
  });
  out.created("resource group", `New resource group '${name}' created.`, { refs: { RscGrp: name } });
};

export const groupModify: Command<z.output<typeof groupModifyArguments>> = async (world, ask, out) => {
  const group = world.state.group(ask.at["group"] ?? "");
  changeProperties(group.props, ask.body);
  group.description = ask.body.description ?? group.description;
  if (ask.body.select_filter) group.filter = mergeFilters(ask.body.select_filter, group.filter);
  out.modified("resource group", `Resource group '${group.name}' modified.`, {
    refs: { RscGrp: group.name },
  });
};

export const groupDelete: Command = async ({ state }, { at }, out) => {
  const group = state.groups.get(at["group"] ?? "");
  if (!group) return out.say("warnNotFound", `Resource group '${at["group"]}' not found.`);
  const used = state.definitions.values().find((definition) => definition.group === group);
  if (used || group.name === "DfltRscGrp")
    throw refuse("definitionExists", `Resource group '${group.name}' cannot be deleted: it is in use.`);
  state.groups.delete(group.name);
  out.deleted("resource group", `Resource group '${group.name}' deleted.`, { refs: { RscGrp: group.name } });
};

export const volumeGroupCreate: Command<z.output<typeof volumeGroupArguments>> = async (world, ask, out) => {
  const group = world.state.group(ask.at["group"] ?? "");
  const number = ask.body.volume_number ?? Math.max(-1, ...group.volumeGroups) + 1;
  if (group.volumeGroups.includes(number))
    throw refuse("volumeDefinitionExists", `Volume group '${number}' of '${group.name}' already exists.`);
  group.volumeGroups.push(number);
  out.created("resource group", `New volume group '${number}' of '${group.name}' created.`);
};

/** A definition with volumes and, unless it shall be without, replicas. */
export const spawn: Command<z.output<typeof spawnArguments>> = async (world, ask, out) => {
  const { body } = ask;
  const { state } = world;
  const group = state.group(ask.at["group"] ?? "");
  const numbers = group.volumeGroups;
  if (numbers.length === 0 && !body.partial)
    out.info("resource group", "Resource-group has no volume-groups: partial mode is assumed.");
  const partial = body.partial || numbers.length === 0;
  if (!partial && numbers.length !== body.volume_sizes.length)
    throw refuse(
      "invalidVolumeSizes",
      `Invalid count of volume sizes to spawn resource group '${group.name}'`,
      {
        details: `It has ${numbers.length} volume groups, but ${body.volume_sizes.length} sizes were given.`,
        correction: "Give as many sizes as there are volume groups, or use the option partial.",
      },
    );
  const filter = mergeFilters(body.select_filter, group.filter);
  const definition = createDefinition(
    world,
    {
      name: body.resource_definition_name,
      externalName: body.resource_definition_external_name,
      group,
      props: body.resource_definition_props,
      layers: layersOf(filter),
      sizes: body.volume_sizes.map((size, n) => ({ number: numbers[n], size })),
    },
    out,
  );
  const count = filter.place_count;
  if (body.definitions_only || count === undefined) {
    const reason = body.definitions_only ? "definitions only were asked for" : "there is no place count";
    out.say("infoNotSpawned", `Resource definition '${definition.name}' without resources: ${reason}.`);
    return;
  }
  try {
    await autoplace(world, definition, filter, out);
  } catch (error) {
    // One transaction: what was not placed at all leaves nothing behind. What failed at a satellite does.
    if (definition.resources.size === 0) {
      state.definitions.delete(definition.name);
      out.entries.length = 0;
    }
    throw error;
  }
};
