// SPDX-License-Identifier: AGPL-3.0-or-later
import {
  argumentsOf,
  createArguments,
  deleteArguments,
  noArguments,
  rebaseArguments,
  revertArguments,
  volumeUpdateArguments,
} from "./arguments.js";
import { collect, fold, freshObject, mergeTags, nameIsFree } from "./objects.js";
import { detachAll, refuseWhenAttached } from "./reassign.js";
import { refuse } from "./refusal.js";
import { takeSnapshot } from "./snapshots.js";
import { listedName, type StoredObject } from "./state.js";
import type { Command, World } from "./world.js";

export const volumeCreate: Command = async (world, _argument, body) => {
  const given = argumentsOf(createArguments, body);
  const { state, behaviour } = world;
  if (given.parent !== undefined && given.baseOn !== undefined)
    throw refuse("invalidParam", "parent and baseOn exclude each other");
  const base = given.baseOn === undefined ? undefined : state.volume(given.baseOn);
  const origin = given.parent === undefined ? base : state.snapshot(given.parent);
  const size = given.size ?? origin?.size;
  if (size === undefined) throw refuse("invalidParam", "size: missing");
  if (origin && size < origin.size)
    throw refuse("invalidParam", `size: ${size} is less than the parent's ${origin.size}`);
  const template = given.template ?? origin?.template;
  if (template === undefined) throw refuse("invalidParam", "template: missing");
  state.room(template, size);
  nameIsFree(state, "volume", given.name);
  const hidden = base && (await takeSnapshot(world, base, { tags: {}, transient: true }));
  const parent = hidden ?? origin;
  const tags = mergeTags(behaviour.cloneInheritsTags && origin ? origin.tags : {}, given.tags, behaviour);
  const made = freshObject(world, { kind: "volume", name: given.name, size, template, parent, tags });
  try {
    await world.files?.create(made.id, size, parent?.id);
  } catch (error) {
    if (hidden) await fold(world, hidden);
    throw error;
  }
  state.add(made);
  const extra = { name: listedName(made), globalId: made.globalId };
  return { extra: hidden ? { ...extra, autoName: listedName(hidden) } : extra };
};

export const volumeUpdate: Command = async (world, argument, body) => {
  const given = argumentsOf(volumeUpdateArguments, body);
  const { state, behaviour } = world;
  const volume = state.volume(argument);
  if (given.size !== undefined && given.sizeAdd !== undefined)
    throw refuse("invalidParam", "size and sizeAdd exclude each other");
  const size = given.size ?? volume.size + (given.sizeAdd ?? 0);
  if (size < volume.size && !given.shrinkOk)
    throw refuse("invalidParam", `size: ${size} is less than ${volume.size} and shrinkOk is not set`);
  const template = state.template(given.template ?? volume.template).name;
  const moved = template !== volume.template;
  if (moved || size > volume.size) state.room(template, moved ? size : size - volume.size);
  if (given.rename !== undefined && given.rename !== volume.name) nameIsFree(state, "volume", given.rename);
  if (size !== volume.size) await world.files?.resize(volume.id, size);
  volume.size = size;
  volume.template = template;
  volume.name = given.rename ?? volume.name;
  volume.tags = mergeTags(volume.tags, given.tags, behaviour);
  return { extra: { name: listedName(volume), globalId: volume.globalId } };
};

export const volumeDelete: Command = async (world, argument, body) => {
  const { onAttached } = argumentsOf(deleteArguments, body);
  const volume = world.state.volume(argument);
  if (onAttached !== "fail") await detachAll(world, volume, onAttached === "detachForce");
  refuseWhenAttached(world.state, volume);
  await world.nodes.forget(volume);
  await world.files?.remove(volume.id);
  world.state.remove(volume);
  await collect(world);
  return {};
};

export const volumeRevert: Command = async (world, argument, body) => {
  const given = argumentsOf(revertArguments, body);
  const { state } = world;
  const volume = state.volume(argument);
  const target = state.snapshot(given.toSnapshot);
  if (target.madeOf !== volume.id)
    throw refuse("invalidParam", `Snapshot '${given.toSnapshot}' is not of volume '${argument}'`);
  refuseWhenAttached(state, volume);
  const size = given.revertSize ? target.size : volume.size;
  if (size > volume.size) state.room(volume.template, size - volume.size);
  await world.nodes.forget(volume);
  await world.files?.restore(volume.id, target.id, size);
  volume.size = size;
  volume.parent = target;
  await collect(world);
  return {};
};

export const volumeFreeze: Command = async (world, argument, body) => {
  argumentsOf(noArguments, body);
  const { state, behaviour } = world;
  const volume = state.volume(argument);
  nameIsFree(state, "snapshot", volume.name);
  refuseWhenAttached(state, volume);
  await world.nodes.forget(volume);
  if (!behaviour.freezeKeepsGlobalId) state.changeGlobalId(volume, state.identity().globalId);
  volume.kind = "snapshot";
  return { extra: { name: listedName(volume), globalId: volume.globalId } };
};

export const volumeRebase: Command = async (world, argument, body) => {
  await rebase(world, world.state.volume(argument), body);
  return {};
};

export const snapshotRebase: Command = async (world, argument, body) => {
  await rebase(world, world.state.snapshot(argument), body);
  return {};
};

/** The data stays what it is: only the link to the shared blocks changes, and only towards an ancestor. */
async function rebase(world: World, object: StoredObject, body: unknown): Promise<void> {
  const { parentName } = argumentsOf(rebaseArguments, body);
  const wanted = parentName === undefined ? undefined : world.state.snapshot(parentName);
  if (wanted) {
    let ancestor = object.parent;
    while (ancestor && ancestor !== wanted) ancestor = ancestor.parent;
    if (!ancestor) throw refuse("invalidParam", `parentName: '${parentName}' is not an ancestor`);
  }
  object.parent = wanted;
  await collect(world);
}
