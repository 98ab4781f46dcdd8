// SPDX-License-Identifier: AGPL-3.0-or-later
import { autoplace } from "./autoplace.js";
import { createDefinition } from "./definitions.js";
import { addGroup } from "./groups.js";
import { layersOf } from "./layers.js";
import { Replies } from "./replies.js";
import type { Group, Properties } from "./state.js";
import type { World } from "./world.js";

const kib = 4096;

/**
 * Volumes that are none of the driver's business: of another group, of other software, with several volumes, with an
 * external name, and those whose names are almost right.
 */
export async function addForeign(world: World, group: Group): Promise<void> {
  const { state } = world;
  const other: Group = {
    ...group,
    name: `${group.name}-other`,
    props: {},
    volumeGroups: [],
    uuid: world.uuid(),
  };
  addGroup(state, other);
  const add = async (
    of: Group,
    name: string | undefined,
    props: Properties = {},
    volumes = 1,
    externalName?: string,
  ) => {
    const out = new Replies("none", "none");
    const sizes = Array.from({ length: volumes }, () => ({ number: undefined, size: kib }));
    const layers = layersOf(of.filter);
    const definition = createDefinition(world, { name, externalName, group: of, props, layers, sizes }, out);
    await autoplace(world, definition, of.filter, out);
  };
  await add(other, "vm-100-disk-77");
  await add(other, "pm-77777777", { "Aux/pm/vmid": "100" });
  await add(group, "database");
  await add(group, "vm-100-disk-78", {}, 2);
  await add(group, "vm-100-disk");
  await add(group, "pm-7777777", { "Aux/pm/vmid": "100" });
  await add(group, "pm-88888888");
  await add(group, "pm-99999999", { "Aux/pm/vmid": "all" });
  await add(group, undefined, {}, 1, "vm-100-disk-79 of somebody else");
}
