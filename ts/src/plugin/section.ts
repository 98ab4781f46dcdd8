// SPDX-License-Identifier: AGPL-3.0-or-later
import type { SectionChange } from "../arrays/contract.js";
import type { Context, Host } from "../common/context.js";
import type { Storage } from "./storage.js";

/** What PVE says of secrets: new values, null for what is deleted. */
type Secrets = SectionChange["sensitive"];

/**
 * PVE's `on_add_hook`. Opening the storage has validated its section already. PVE activates it next, to find out whether it
 * is right: where activation goes on without an answer, the array is asked here.
 */
export async function addSection(
  storage: Storage,
  ctx: Context,
  args: { sensitive: Secrets },
): Promise<void> {
  const { storeid, type, section } = storage;
  await type.sections?.add({ storeid, section, changed: section, deleted: [], sensitive: args.sensitive });
  if (!type.attachesWithoutArray || !isForNode(section, storage.host)) return;
  try {
    await storage.driver.check(ctx);
  } catch (error) {
    // PVE keeps nothing of it either.
    await type.sections?.remove(storeid);
    throw error;
  }
}

/** PVE uses the section on this node. */
function isForNode({ nodes, disable }: Storage["section"], { name }: Host): boolean {
  if (disable) return false;
  return typeof nodes !== "object" || nodes === null || Object.hasOwn(nodes, name);
}

/** PVE's `on_update_hook`: the section is the one before the change. */
export async function updateSection(
  storage: Storage,
  args: { update: Readonly<Record<string, unknown>>; delete: readonly string[]; sensitive: Secrets },
): Promise<void> {
  const { storeid, type } = storage;
  const { update, delete: deleted, sensitive } = args;
  const section: Record<string, unknown> = { ...storage.section, ...update };
  for (const name of deleted) delete section[name];
  // What is wrong with it is said before anything is stored.
  if (Object.keys(update).length + deleted.length > 0) await storage.tryOut(section);
  await type.sections?.update({ storeid, section, changed: update, deleted, sensitive });
}

/** PVE's `on_delete_hook`. */
export async function removeSection({ storeid, type }: Storage): Promise<void> {
  await type.sections?.remove(storeid);
}
