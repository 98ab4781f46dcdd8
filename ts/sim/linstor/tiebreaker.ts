// SPDX-License-Identifier: AGPL-3.0-or-later
import { addDiskless, makeDiskless, removeResource } from "./deploy.js";
import { isPlaceable } from "./placement.js";
import type { Replies } from "./replies.js";
import { type Definition, hasDrbd, type Resource, type SatelliteNode } from "./state.js";
import type { World } from "./world.js";

const property = "DrbdOptions/auto-add-quorum-tiebreaker";

/**
 * Keeps the tie-breaker as the service does: an even number of replicas with disks and no other diskless one gets a
 * tie-breaker. Says whether a resource that was about to be deleted stays as one.
 */
export function manageTieBreaker(
  world: World,
  definition: Definition,
  out: Replies,
  { leaving, keep = false }: { leaving?: Resource; keep?: boolean } = {},
): boolean {
  if (!hasDrbd(definition)) return false;
  const props = [definition.props, definition.group.props, world.state.props];
  let enabled = props.map((one) => one[property]).find((value) => value !== undefined) !== "False";
  if (!enabled && keep) {
    delete definition.props[property];
    enabled = true;
  }
  const others = definition.resources.values().filter((one) => one !== leaving && !one.deleting);
  const tieBreaker = definition.resources.values().find(({ kind }) => kind === "tie-breaker");
  const disks = others.filter(({ kind }) => kind === "diskful").length;
  const voters = others.filter(({ kind, client }) => kind === "diskless" && !client).length;
  const wanted = enabled && disks >= 2 && disks % 2 === 0 && voters === 0;
  if (!wanted) {
    if (tieBreaker && tieBreaker !== leaving && tieBreaker.node.online) {
      removeResource(tieBreaker);
      out.bare("infoTieBreakerDeleting", "Tie breaker marked for deletion");
    }
    return false;
  }
  if (tieBreaker && tieBreaker !== leaving) return false;
  if (tieBreaker) {
    if (keep) {
      out.bare("infoTieBreakerTakeover", "The resource is not deleted but stays as tie breaker.");
      return true;
    }
    definition.props[property] = "False";
    out.bare(
      "infoPropertySet",
      `Disabling auto-tiebreaker on resource-definition '${definition.name}': its tie breaker was deleted`,
    );
    return false;
  }
  if (leaving && leaving.node.flags.size === 0) {
    makeDiskless(world, leaving, "tie-breaker");
    out.bare("infoTieBreakerTakeover", "The resource is not deleted but becomes the tie breaker.");
    return true;
  }
  const node = nodeFor(world, definition);
  if (!node) {
    out.bare(
      "warnNotEnoughNodesForTieBreaker",
      `No node for a tie breaking resource of '${definition.name}' found.`,
    );
    return false;
  }
  addDiskless(world, definition, node, "tie-breaker");
  out.bare("infoTieBreakerCreated", `Tie breaker resource '${definition.name}' created on ${node.name}`);
  return false;
}

function nodeFor({ state }: World, definition: Definition): SatelliteNode | undefined {
  return state.nodes
    .values()
    .find(
      (node) =>
        isPlaceable(node, definition.group.filter) &&
        node.layers.includes("DRBD") &&
        !definition.resources.has(node.name),
    );
}
