// SPDX-License-Identifier: AGPL-3.0-or-later
import { freshObject } from "./objects.js";
import type { StoredObject } from "./state.js";
import type { World } from "./world.js";

/** Whose cluster and storage the foreign objects resemble without belonging to it. */
export interface Resembled {
  /** Cluster slug, `pve-loc`. */
  readonly loc: string;
  /** PVE storage id, `pve`. */
  readonly storage: string;
  readonly template: string;
}

const mib = 1024 * 1024;

/**
 * Objects that are none of the driver's business: of another PVE cluster, of another storage, of other software, without
 * tags, with names, being removed, of the system.
 */
export async function addForeign(
  world: World,
  { loc, storage, template }: Resembled,
): Promise<StoredObject[]> {
  const disk = { virt: "pve", "pve-type": "images", "pve-vm": "100", "pve-disk": "0" };
  const ours = { ...disk, "pve-loc": loc, pve: storage };
  const made: StoredObject[] = [];
  const add = async (
    kind: StoredObject["kind"],
    tags: Record<string, string>,
    more: Partial<StoredObject> = {},
  ) => {
    const object = freshObject(world, { kind, size: mib, template, tags, ...more });
    await world.files?.create(object.id, object.size);
    world.state.add(object);
    made.push(object);
    return object;
  };
  await add("volume", { ...disk, "pve-loc": `${loc}-other`, pve: storage });
  await add("volume", { ...disk, "pve-loc": loc, pve: `${storage}-other` });
  await add("volume", { ...disk, pve: storage });
  await add("volume", { ...disk, "pve-loc": "", pve: storage });
  await add("volume", {});
  await add("volume", {}, { name: "database", extra: { replication: "-", bw: 100, iops: "-" } });
  await add("volume", ours, { name: "named-by-hand" });
  await add("volume", { virt: "opst", "pve-vm": "100", "pve-disk": "0" });
  await add("volume", { ...ours, "pve-disk": "zero" });
  await add("volume", { ...ours, "pve-vm": "all", "pve-type": "somethingelse" });
  await add("volume", {}, { name: "#internal" });
  const removed = await add("snapshot", ours, { deleted: true });
  await add("volume", {}, { name: "child-of-removed", parent: removed });
  const hidden = await add("snapshot", {}, { name: "database@4711", transient: true, onVolume: "database" });
  await add("volume", {}, { name: "copy-of-database", parent: hidden });
  await add("snapshot", { ...disk, "pve-loc": `${loc}-other`, pve: storage, "pve-base": "1" });
  await add("snapshot", { ...ours, "pve-snap": "without-volume" });
  await add("snapshot", {}, { extra: { bw: "-", iops: "-", replication: "-" } });
  return made;
}
