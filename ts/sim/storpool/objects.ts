// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Behaviour } from "./behaviour.js";
import { refuse } from "./refusal.js";
import type { State, StoredObject } from "./state.js";
import type { World } from "./world.js";

type Wanted = Pick<StoredObject, "kind" | "size" | "template" | "tags"> &
  Partial<Omit<StoredObject, "id" | "globalId">>;

/** An object with a new identity, not yet known to anybody. */
export function freshObject(world: World, wanted: Wanted): StoredObject {
  return {
    ...world.state.identity(),
    name: "",
    parent: undefined,
    created: world.now(),
    onVolume: "",
    madeOf: 0,
    transient: false,
    bound: false,
    deleted: false,
    deleteDate: 0,
    extra: {},
    ...wanted,
  };
}

/** Tags are merged into the stored set, not replaced: every vendor integration sends partial sets. */
export function mergeTags(
  old: Readonly<Record<string, string>>,
  change: Readonly<Record<string, string>>,
  behaviour: Behaviour,
): Record<string, string> {
  const merged = Object.entries({ ...old, ...change });
  return Object.fromEntries(behaviour.emptyTagClears ? merged.filter(([, value]) => value !== "") : merged);
}

/** Refuses when a name is taken; unnamed is always free. */
export function nameIsFree(state: State, kind: StoredObject["kind"], name: string): void {
  if (state.find(kind, name)) throw refuse("objectExists", `A ${kind} named '${name}' exists`);
}

/** Removes what nothing needs any more: deleted, bound and transient snapshots without children. */
export async function collect(world: World): Promise<void> {
  for (;;) {
    const parents = new Set<StoredObject>();
    const doomed: StoredObject[] = [];
    for (const { parent } of world.state.objects.values()) if (parent) parents.add(parent);
    for (const object of world.state.objects.values()) {
      const unwanted = object.deleted || object.bound || object.transient;
      const used = parents.has(object) || world.state.attached(object).length > 0;
      if (unwanted && object.kind === "snapshot" && !used) doomed.push(object);
    }
    if (doomed.length === 0) return;
    for (const object of doomed) {
      await world.nodes.forget(object);
      await world.files?.remove(object.id);
      world.state.remove(object);
    }
  }
}

/** The snapshots whose `targetDeleteDate` has come. */
export function overdue(world: World): StoredObject[] {
  const now = world.now();
  const found: StoredObject[] = [];
  for (const object of world.state.objects.values())
    if (object.deleteDate > 0 && object.deleteDate <= now && !object.deleted) found.push(object);
  return found;
}

/** Deletes snapshots whose `targetDeleteDate` has come. */
export async function expire(world: World): Promise<void> {
  for (const object of overdue(world)) object.deleted = true;
  await collect(world);
}

/** Merges a deleted snapshot into its children, as the service does in the background. */
export async function fold(world: World, snapshot: StoredObject): Promise<void> {
  for (const child of world.state.objects.values())
    if (child.parent === snapshot) child.parent = snapshot.parent;
  await collect(world);
}
