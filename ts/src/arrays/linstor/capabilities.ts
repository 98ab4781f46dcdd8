// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import type { Capabilities } from "../contract.js";
import { sameName } from "./names.js";
import { canRollBackToAny } from "./rollback.js";
import type { Session } from "./session.js";

/** Kinds of pools whose new volumes read as zeros. Of others the blocks are given out as they were left. */
const zeroing = new Set(["LVM_THIN", "ZFS", "ZFS_THIN", "FILE", "FILE_THIN"]);

/** What the storage pools that a group may use can do, all of them. */
export async function capabilitiesOf(session: Session, ctx: Context): Promise<Capabilities> {
  const { client, section } = session;
  const group = await client.group(ctx, section.group);
  const all = await client.pools(ctx, group.pools);
  const used = all.filter(
    ({ name, node, provider }) =>
      provider !== "DISKLESS" &&
      (group.pools.length === 0 || group.pools.some((pool) => sameName(pool, name))) &&
      (group.nodes.length === 0 || group.nodes.some((one) => sameName(one, node))),
  );
  const nvme = group.layers?.includes("NVME") ?? false;
  const snapshots = !nvme && used.length > 0 && used.every((pool) => pool.snapshots);
  return {
    snapshots,
    linkedClones: snapshots,
    clonesDependOnBase: true,
    rename: true,
    rollbackToAny: await canRollBackToAny(session, ctx),
    zeroedOnCreate: used.length > 0 && used.every(({ provider }) => zeroing.has(provider)),
    atomicNames: true,
    directories: false,
  };
}
