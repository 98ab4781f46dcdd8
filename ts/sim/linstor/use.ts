// SPDX-License-Identifier: AGPL-3.0-or-later
import { refuse } from "./replies.js";
import { type Definition, hasDrbd, type Resource } from "./state.js";
import type { World } from "./world.js";

/** Refuses when somebody has a device of a definition open, on a node that can be asked. */
export function refuseInUse(world: World, definition: Definition, doing: string): void {
  for (const resource of definition.resources.values()) {
    if (!resource.node.online || !isInUse(world, resource)) continue;
    throw refuse(
      "inUse",
      `Cannot ${doing} resource definition '${definition.name}': resource '${definition.name}' on node '${resource.node.name}' is still in use.`,
      {
        cause: "Resource is mounted/in use.",
        correction: "Un-mount the resource, or make it secondary on all nodes.",
        refs: { RscDfn: definition.name, Node: resource.node.name },
      },
    );
  }
}

/**
 * Does the controller take a resource for Primary on its node? Stacks without DRBD never say so, unless the switch is on.
 * One that was seen in use and is closed counts as such until the news has come.
 */
export function isInUse(world: World, resource: Resource): boolean {
  if (isOpen(world, resource)) {
    resource.known = "in-use";
    return true;
  }
  if (resource.known === "in-use") {
    const { inUseDelayMs } = world.behaviour;
    resource.known = inUseDelayMs > 0 ? "closing" : "closed";
    if (inUseDelayMs > 0)
      void world.pause(inUseDelayMs).then(() => {
        if (resource.known === "closing") resource.known = "closed";
      });
  }
  return resource.known !== "closed";
}

function isOpen(world: World, resource: Resource): boolean {
  const { inUse, storageInUse } = world.behaviour;
  if (!hasDrbd(resource.definition) && !storageInUse) return false;
  const open = world.openness(resource);
  return inUse === "open" ? open !== "closed" : open === "write";
}
