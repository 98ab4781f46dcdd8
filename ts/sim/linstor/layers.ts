// SPDX-License-Identifier: AGPL-3.0-or-later
import { refuse } from "./replies.js";
import { type LayerKind, layerKinds, type SelectFilter } from "./state.js";

/** The stack that is asked for, or the filter's, or DRBD; the lowest layer is always there. */
export function layersOf(filter: SelectFilter, given?: readonly string[]): LayerKind[] {
  const named = given?.length ? given : filter.layer_stack;
  const stack = (named ?? ["DRBD", "STORAGE"]) as LayerKind[];
  if (!stack.every((layer) => layerKinds.includes(layer)) || new Set(stack).size !== stack.length)
    throw refuse("invalidLayerStack", `The layer stack ${stack.join(", ")} is not supported`);
  return stack.includes("STORAGE") ? stack : [...stack, "STORAGE"];
}
