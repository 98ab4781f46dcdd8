// SPDX-License-Identifier: AGPL-3.0-or-later
import {
  argumentsOf,
  groupSnapshotArguments,
  noArguments,
  snapshotArguments,
  snapshotUpdateArguments,
} from "./arguments.js";
import { collect, freshObject, mergeTags, nameIsFree } from "./objects.js";
import { refuseWhenAttached } from "./reassign.js";
import { refuse } from "./refusal.js";
import { listedName, type StoredObject } from "./state.js";
import type { Command, World } from "./world.js";

type Wanted = Partial<Pick<StoredObject, "name" | "bound" | "deleteDate" | "transient">> &
  Pick<StoredObject, "tags">;

/** Makes a snapshot; it becomes the volume's parent, and the old parent its own. */
export async function takeSnapshot(
  world: World,
  volume: StoredObject,
  wanted: Wanted,
): Promise<StoredObject> {
  nameIsFree(world.state, "snapshot", wanted.name ?? "");
  const { size, template, parent } = volume;
  const inherited = world.behaviour.snapshotInheritsTags && wanted.transient !== true ? volume.tags : {};
  const tags = mergeTags(inherited, wanted.tags, world.behaviour);
  const onVolume = listedName(volume);
  const shared = { kind: "snapshot" as const, size, template, parent, onVolume, madeOf: volume.id };
  const made = freshObject(world, { ...shared, ...wanted, tags });
  // Anonymous ones are listed with an @ in their name.
  if (made.transient) made.name = `${onVolume.replace("~", "")}@${made.id}`;
  await world.files?.create(made.id, size, volume.id);
  world.state.add(made);
  volume.parent = made;
  return made;
}

export const volumeSnapshot: Command = async (world, argument, body) => {
  const given = argumentsOf(snapshotArguments, body);
  const volume = world.state.volume(argument);
  const { name, bind, tags } = given;
  const made = await takeSnapshot(world, volume, { name, bound: bind, tags, deleteDate: date(world, given) });
  return {
    extra: {
      autoName: listedName(made),
      snapshotGlobalId: made.globalId,
      snapshotVisibleVolumeId: made.id,
    },
  };
};

export const volumesGroupSnapshot: Command = async (world, _argument, body) => {
  const given = argumentsOf(groupSnapshotArguments, body);
  const wanted = given.volumes.map((entry) => ({ ...entry, object: world.state.volume(entry.volume) }));
  if (new Set(wanted.map(({ object }) => object)).size < wanted.length)
    throw refuse("invalidParam", "volumes: one is there twice");
  const names = wanted.map(({ name }) => name).filter((name) => name !== "");
  if (new Set(names).size < names.length) throw refuse("invalidParam", "volumes: a name is there twice");
  for (const name of names) nameIsFree(world.state, "snapshot", name);
  const done: { volume: StoredObject; before: StoredObject | undefined; made: StoredObject }[] = [];
  try {
    for (const { object, name, tags } of wanted) {
      const before = object.parent;
      const made = await takeSnapshot(world, object, { name, tags: { ...given.tags, ...tags } });
      done.push({ volume: object, before, made });
    }
  } catch (error) {
    // All or none.
    for (const { volume, before, made } of done) {
      volume.parent = before;
      world.state.remove(made);
      await world.files?.remove(made.id);
    }
    throw error;
  }
  const snapshots = done.map(({ volume, made }) => ({
    volume: listedName(volume),
    volumeGlobalId: volume.globalId,
    snapshot: listedName(made),
    remoteId: made.globalId,
    snapshotGlobalId: made.globalId,
  }));
  return { extra: { snapshots } };
};

export const snapshotUpdate: Command = async (world, argument, body) => {
  const given = argumentsOf(snapshotUpdateArguments, body);
  const { state } = world;
  const snapshot = state.snapshot(argument);
  if (given.rename !== undefined && given.rename !== snapshot.name)
    nameIsFree(state, "snapshot", given.rename);
  if (given.template !== undefined) snapshot.template = state.template(given.template).name;
  snapshot.name = given.rename ?? snapshot.name;
  snapshot.bound = given.bind ?? snapshot.bound;
  if (given.deleteAfter !== undefined || given.targetDeleteDate !== undefined)
    snapshot.deleteDate = date(world, given);
  snapshot.tags = mergeTags(snapshot.tags, given.tags, world.behaviour);
  await collect(world);
  return { extra: { name: listedName(snapshot), globalId: snapshot.globalId } };
};

export const snapshotDelete: Command = async (world, argument, body) => {
  argumentsOf(noArguments, body);
  const { state } = world;
  const snapshot = state.snapshot(argument);
  refuseWhenAttached(state, snapshot);
  await world.nodes.forget(snapshot);
  snapshot.deleted = true;
  await collect(world);
  if (state.objects.has(snapshot.id)) world.deletedWithChildren(snapshot);
  return {};
};

/** When a snapshot is to be deleted, in seconds since 1970; 0 for never, which `deleteAfter: 0` says too. */
function date(
  world: World,
  given: { targetDeleteDate?: number | undefined; deleteAfter?: number | undefined },
): number {
  if (given.deleteAfter !== undefined) return given.deleteAfter === 0 ? 0 : world.now() + given.deleteAfter;
  return given.targetDeleteDate ?? 0;
}
