// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import { keys } from "./names.js";
import type { Session } from "./session.js";
import type { Definition, LinstorSnapshot } from "./shapes.js";

/** Properties that are copied out of a snapshot with everything else, and say nothing about the copy. */
export const copiedProperties: readonly string[] = [
  keys.name,
  keys.parent,
  keys.request,
  keys.vmid,
  keys.twoPrimaries,
  keys.snapshot,
  keys.taken,
  keys.group,
];

/** The nodes on which a snapshot can be restored now. Throws `unreachable`. */
export async function nodesOf(session: Session, ctx: Context, snapshot: LinstorSnapshot): Promise<string[]> {
  const online = await session.client.onlineNodes(ctx);
  const nodes = snapshot.nodes.filter((node) => online.has(node.toLowerCase()));
  if (nodes.length > 0) return nodes;
  throw fail(
    "unreachable",
    `no node with snapshot '${snapshot.name}' answers (${snapshot.nodes.join(", ")}); look at linstor node list`,
  );
}

/** Fills a definition that has no volume yet with a snapshot, on some of its nodes. */
export async function restoreInto(
  session: Session,
  ctx: Context,
  snapshot: LinstorSnapshot,
  target: string,
  nodes: readonly string[],
): Promise<void> {
  const { definitions, resources, snapshots } = session.client;
  const from = { definition: snapshot.definition, name: snapshot.name, target };
  const known = await definitions.find(ctx, target);
  if (known?.sizes.length === 0)
    await snapshots.restoreVolume(
      ctx,
      from,
      async (asker) => ((await definitions.find(asker, target))?.sizes.length ?? 0) > 0,
    );
  await snapshots.restoreResource(
    ctx,
    { ...from, nodes },
    async (asker) => (await resources.view(asker, target)).length > 0,
  );
}

/** The layers for a copy of a definition. */
export function layersOf({ layers }: Definition): readonly string[] {
  return layers.length > 0 ? layers : ["DRBD", "STORAGE"];
}
