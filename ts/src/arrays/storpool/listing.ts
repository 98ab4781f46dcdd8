// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import type { Volume, VolumeRef } from "../contract.js";
import { encodeRecord } from "./encode.js";
import { type Found, lookUp, objectById, recognise } from "./objects.js";
import { parseShortName } from "./request.js";
import type { StorpoolObject } from "./schemas.js";
import type { Session } from "./session.js";
import { ownership } from "./tags.js";

/** What there is on one storage. */
export class Listing {
  /** Damaged objects that were warned of. */
  readonly #warned = new Set<string>();

  /** Disks, bases, RAM states, cloud-init drives and images; what is being made and snapshots of disks are no volumes. */
  async list(session: Session, ctx: Context, vmid: number | undefined): Promise<Volume[]> {
    const { slug, storeid } = session.owner;
    const { volumes, snapshots } = await session.client.listAll(ctx, (tags) => {
      if (tags["pve-loc"] !== slug || tags["pve"] !== storeid || tags["pve-snap-v"]) return false;
      // Bases and images of others are the parents of this guest's clones.
      return (
        vmid === undefined || tags["pve-vm"] === `${vmid}` || tags["pve-base"] === "1" || !tags["pve-vm"]
      );
    });
    const names = new Map<string, string>();
    const shown: Found[] = [];
    for (const object of [...volumes, ...snapshots]) {
      const found = this.#recognise(session, ctx, object);
      if (!found || found.ref.kind === "snap") continue;
      names.set(found.ref.gid, found.name);
      if (vmid === undefined || ("vmid" in found.ref && found.ref.vmid === vmid)) shown.push(found);
    }
    return shown.map((found) => describe(session, listed(found), names.get(found.object.parentGid ?? "")));
  }

  async get(session: Session, ctx: Context, ref: VolumeRef): Promise<Volume> {
    const found = await lookUp(session, ctx, ref);
    return describe(session, found, await parentOf(session, ctx, found.object));
  }

  #recognise(session: Session, ctx: Context, object: StorpoolObject): Found | undefined {
    if (ownership(object.tags, session.owner) !== "ours" || object.transient) return undefined;
    const encoded = encodeRecord(object);
    if (encoded.ok) return { object, ref: encoded.ref, name: encoded.name };
    if (!object.deleted && !object.name.startsWith("*") && !this.#warned.has(object.gid)) {
      this.#warned.add(object.gid);
      ctx.log.warn("an object of this storage is not shown", { gid: object.gid, reason: encoded.reason });
    }
    return undefined;
  }
}

function describe({ parse }: Session, { object, name }: Found, parent: string | undefined): Volume {
  return {
    ref: parse(name),
    size: object.size,
    ...(object.stored === undefined ? {} : { used: object.stored }),
    ...(parent === undefined ? {} : { parent }),
    ...(object.ctime > 0 ? { ctime: object.ctime } : {}),
  };
}

async function parentOf(session: Session, ctx: Context, object: StorpoolObject): Promise<string | undefined> {
  if (object.parentGid === undefined) return undefined;
  const parent = await objectById(session, ctx, "snapshot", object.parentGid);
  const found = parent && recognise(session, parent);
  return found && found.ref.kind !== "snap" ? found.name : undefined;
}

/**
 * A RAM state is listed under the name that PVE asked for: `qm rescan` knows these by `vm-VMID-state-` alone and would
 * take any other name for a lost disk.
 */
function listed(found: Found): Found {
  const { ref } = found;
  if (ref.kind !== "state") return found;
  const name = `vm-${ref.vmid}-state-${ref.snap}.raw`;
  return parseShortName(name)?.kind === "state" ? { ...found, name } : found;
}
