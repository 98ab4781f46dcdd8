// SPDX-License-Identifier: AGPL-3.0-or-later
import { formatName, gidOfName, isGid, type NameRef, tryParseName } from "./naming.js";
import { type Owner, ownership, type Tags, tag, unlabeled } from "./tags.js";

/** What names are made from: the identity and tags of a StorPool object. */
export interface ObjectRecord {
  /** Known from the request that brought the record, not from the record. */
  readonly type: "volume" | "snapshot";
  readonly gid: string;
  /** The object's own name; `~<gid>` or empty when it has none. */
  readonly name: string;
  readonly tags: Tags;
  /** A snapshot that is going away. */
  readonly deleted?: boolean;
}

/** The name of a record, or why it has none. */
export type Encoded =
  | { readonly ok: true; readonly name: string; readonly ref: NameRef & { readonly gid: string } }
  | { readonly ok: false; readonly reason: string };

/** The PVE volume name of a StorPool object. Never throws: one damaged object must not break a listing. */
export function encodeRecord(record: ObjectRecord): Encoded {
  if (!isGid(record.gid)) return no("its global id is malformed");
  if (record.deleted || record.name.startsWith("*")) return no("it is being removed");
  if (record.type === "volume" && record.name !== "" && gidOfName(record.name) !== record.gid) {
    return no("it is a volume with a name of its own");
  }
  const ref = reference(record);
  if (typeof ref === "string") return no(ref);
  const name = formatName(ref);
  // Tags can hold what a name cannot, for instance a VM id below 100.
  return tryParseName(name)?.kind === ref.kind
    ? { ok: true, name, ref }
    : no(`its tags make no valid name ('${name}')`);
}

function no(reason: string): Encoded {
  return { ok: false, reason };
}

/** The reference, or the reason why there is none. */
function reference(record: ObjectRecord): (NameRef & { gid: string }) | string {
  const { gid, tags } = record;
  const isSnapshot = record.type === "snapshot";
  const type = tag(tags, "pve-type");
  const vm = tag(tags, "pve-vm");
  const disk = tag(tags, "pve-disk");
  const base = tag(tags, "pve-base") ?? "0";
  const snap = tag(tags, "pve-snap");
  const snapOf = tag(tags, "pve-snap-v");
  if (base !== "0" && base !== "1") return `pve-base is '${base}' instead of 0 or 1`;
  const guest = vm ?? disk ?? snap ?? snapOf ?? (base === "1" ? "base" : undefined);

  if (type === "iso" || (vm === undefined && (type === "images" || type === "rootdir"))) {
    const kind = type === "iso" ? "iso" : "img";
    if (!isSnapshot) return `an ${kind} must be a snapshot`;
    if (guest !== undefined) return `an ${kind} cannot have tags of a guest's disk`;
    return { kind, comment: tag(tags, "pve-comment") ?? unlabeled, gid };
  }
  if (type !== "images" && type !== "rootdir") return `pve-type is '${type ?? ""}'`;
  if (vm === undefined || !/^[1-9][0-9]{0,8}$/.test(vm)) return `pve-vm is '${vm ?? ""}'`;
  if (disk === undefined) return "pve-disk is missing";
  const vmid = Number(vm);
  const number = /^(?:0|[1-9][0-9]{0,8})$/.test(disk) ? Number(disk) : undefined;
  if (number === undefined && disk !== "state" && disk !== "cloudinit") return `pve-disk is '${disk}'`;

  if (base === "1") {
    if (!isSnapshot) return "a base must be a snapshot";
    if (snap !== undefined || snapOf !== undefined) return "a base cannot be the snapshot of a guest";
    if (number === undefined) return "a base needs a disk number";
    return { kind: "base", vmid, disk: number, gid };
  }
  if (snap !== undefined && disk === "state") {
    if (isSnapshot) return "a RAM state must be a volume";
    if (snapOf !== undefined) return "a RAM state cannot be of a volume";
    return { kind: "state", vmid, snap, gid };
  }
  if (snap !== undefined) {
    if (number === undefined) return "a disk's snapshot needs a disk number";
    if (!isSnapshot) return "a disk's snapshot must be a snapshot";
    if (snapOf === undefined || !isGid(snapOf)) return `pve-snap-v is '${snapOf ?? ""}'`;
    return { kind: "snap", vmid, disk: number, snap, parentGid: snapOf, gid };
  }
  if (snapOf !== undefined) return "pve-snap-v is there without pve-snap";
  if (isSnapshot) return "a snapshot needs pve-snap or pve-base";
  if (number !== undefined) return { kind: "disk", vmid, disk: number, gid };
  return disk === "cloudinit" ? { kind: "cloudinit", vmid, gid } : "a RAM state needs pve-snap";
}

/**
 * The cloud-init drive of a guest on this storage: the newest one, because its PVE name has no global id. Undefined
 * when there is none.
 */
export function findCloudinit<R extends ObjectRecord & { readonly ctime?: number }>(
  volumes: readonly R[],
  owner: Owner,
  vmid: number,
): R | undefined {
  return volumes
    .filter((record) => {
      if (ownership(record.tags, owner) !== "ours") return false;
      const encoded = encodeRecord(record);
      return encoded.ok && encoded.ref.kind === "cloudinit" && encoded.ref.vmid === vmid;
    })
    .reduce<R | undefined>(
      (best, next) => ((next.ctime ?? 0) > (best?.ctime ?? -1) ? next : best),
      undefined,
    );
}

/**
 * The next disk number of a guest: one more than the highest of its disks on all storages of this cluster. Gaps are not
 * filled. Two nodes may get the same number at once; the global ids keep the disks apart.
 */
export function nextDiskNumber(volumes: readonly ObjectRecord[], owner: Owner, vmid: number): number {
  const numbers = volumes
    .filter(
      ({ tags, type }) =>
        type === "volume" && ownership(tags, owner) !== "foreign" && tag(tags, "pve-vm") === `${vmid}`,
    )
    .map(({ tags }) => tag(tags, "pve-disk") ?? "")
    .filter((disk) => /^(?:0|[1-9][0-9]{0,8})$/.test(disk))
    .map(Number);
  return Math.max(-1, ...numbers) + 1;
}
