// SPDX-License-Identifier: AGPL-3.0-or-later
import type * as z from "zod";
import type { makeAvailableArguments } from "./arguments.js";
import { since } from "./behaviour.js";
import { addDiskful, addDiskless, reportDeployed } from "./deploy.js";
import { refuse } from "./replies.js";
import { poolOn } from "./room.js";
import { type Definition, diskful, hasDrbd, type Resource, type SatelliteNode } from "./state.js";
import { manageTieBreaker } from "./tiebreaker.js";
import type { Command, World } from "./world.js";

/** Makes a device appear on a node, by whatever is least. */
export const makeAvailable: Command<z.output<typeof makeAvailableArguments>> = async (world, ask, out) => {
  const { state, behaviour } = world;
  const { body } = ask;
  const definition = state.usableDefinition(ask.at["definition"] ?? "");
  const node = state.node(ask.at["node"] ?? "");
  const refs = { RscDfn: definition.name, Node: node.name };
  if (body.layer_list?.length && body.layer_list.join() !== definition.layers.join())
    throw refuse("invalidLayerStack", "Layerstack of deployed resource does not match", { refs });
  if (!node.online && behaviour.availableOffline === "error")
    throw refuse("notConnected", `No active connection to satellite '${node.name}'`, { refs });
  const there = definition.resources.get(node.name);
  if (there) {
    there.deleting = false;
    if (there.kind === "diskful" || !body.diskful || !hasDrbd(definition)) {
      if (there.kind === "tie-breaker") there.kind = "diskless";
      return out.success("Resource already deployed as requested");
    }
    await addDiskful(world, definition, poolOn(world, definition, node));
    manageTieBreaker(world, definition, out);
    return reportDeployed(world, there, out);
  }
  const made = await place(world, definition, node, body.diskful);
  manageTieBreaker(world, definition, out);
  reportDeployed(world, made, out);
};

async function place(
  world: World,
  definition: Definition,
  node: SatelliteNode,
  wantsDisk: boolean,
): Promise<Resource> {
  const refs = { RscDfn: definition.name, Node: node.name };
  if (definition.layers[0] === "NVME" && diskful(definition).length > 0)
    return addDiskless(world, definition, node, "nvme-initiator");
  if (hasDrbd(definition) && !node.layers.includes("DRBD"))
    throw refuse(
      "layerUnsupported",
      `Satellite '${node.name}' does not support the following layers: [DRBD]`,
      {
        refs,
      },
    );
  if (hasDrbd(definition) && !wantsDisk && diskful(definition).length > 0)
    return addDiskless(world, definition, node, "diskless", since(world.behaviour, "1.34"));
  // Also without DRBD, where it is a second, independent copy.
  return addDiskful(world, definition, poolOn(world, definition, node));
}
