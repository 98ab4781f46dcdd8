// SPDX-License-Identifier: AGPL-3.0-or-later
import { fail } from "../../common/errors.js";
import { gidPattern, nameRules } from "./grammar.js";
import { unlabeled } from "./tags.js";

/** A volume name, taken apart. `gid` is the object's global id. */
export type NameRef =
  | { readonly kind: "disk" | "base"; readonly vmid: number; readonly disk: number; readonly gid: string }
  | {
      readonly kind: "snap";
      readonly vmid: number;
      readonly disk: number;
      readonly snap: string;
      /** The live volume that the snapshot is of. */
      readonly parentGid: string;
      readonly gid: string;
    }
  | { readonly kind: "state"; readonly vmid: number; readonly snap: string; readonly gid: string }
  /** The name that PVE uses for cloud-init drives has no global id: the object is found by its tags. */
  | { readonly kind: "cloudinit"; readonly vmid: number; readonly gid?: string }
  | { readonly kind: ImageKind; readonly comment: string; readonly gid: string }
  /** The volume that becomes an image once its data is complete. */
  | { readonly kind: "staged"; readonly of: ImageKind; readonly comment: string; readonly gid: string };

/** What belongs to no guest: a disk image to start from, or a CD. */
export type ImageKind = "img" | "iso";

const rules = nameRules.map((rule) => ({ kind: rule.kind, pattern: new RegExp(rule.pattern) }));

/** Takes a PVE volume name apart; undefined when it is none of the published format. */
export function tryParseName(name: string): NameRef | undefined {
  for (const { kind, pattern } of rules) {
    const groups = pattern.exec(name)?.groups;
    if (!groups) continue;
    const { gid = "", snap = "", comment = "", parent = "" } = groups;
    const vmid = Number(groups["vmid"]);
    const disk = Number(groups["disk"]);
    switch (kind) {
      case "iso":
      case "img":
        return { kind, comment, gid };
      case "staged":
        return { kind, of: groups["of"] === "iso" ? "iso" : "img", comment, gid };
      case "snap":
        return { kind, vmid, disk, snap, parentGid: parent, gid };
      case "state":
        return { kind, vmid, snap, gid };
      case "base":
      case "disk":
        return { kind, vmid, disk, gid };
      case "cloudinit":
        return gid === "" ? { kind, vmid } : { kind, vmid, gid };
    }
  }
  return undefined;
}

/** Takes a PVE volume name apart. @throws `invalid` */
export function parseName(name: string): NameRef {
  const ref = tryParseName(name);
  if (ref) return ref;
  throw fail("invalid", `volume name '${name}' is not one of StorPool's; look it up with pvesm list`);
}

/** The PVE volume name of a reference; a cloud-init drive's is always the one without global id. */
export function formatName(ref: NameRef): string {
  switch (ref.kind) {
    case "disk":
      return `vm-${ref.vmid}-disk-${ref.disk}-sp-${ref.gid}.raw`;
    case "base":
      return `base-${ref.vmid}-disk-${ref.disk}-sp-${ref.gid}.raw`;
    case "snap":
      return `snap-${ref.vmid}-disk-${ref.disk}-${ref.snap}-p-${ref.parentGid}-sp-${ref.gid}.raw`;
    case "state":
      return `snap-${ref.vmid}-state-${ref.snap}-sp-${ref.gid}.raw`;
    case "cloudinit":
      return `vm-${ref.vmid}-cloudinit.raw`;
    case "img":
      return `img-${ref.comment || unlabeled}-sp-${ref.gid}.raw`;
    case "iso":
      return `${ref.comment || unlabeled}-sp-${ref.gid}.iso`;
    case "staged":
      return `staged-${ref.of}-${ref.comment}-sp-${ref.gid}.raw`;
  }
}

/** The kind of StorPool object behind a name. */
export function objectTypeOf(kind: NameRef["kind"]): "volume" | "snapshot" {
  return ["disk", "state", "cloudinit", "staged"].includes(kind) ? "volume" : "snapshot";
}

/** True for a global id such as `nzkr.b.1f`. */
export function isGid(text: string): boolean {
  return gidPattern.test(text);
}

/** The global id that an object name of the form `~<gid>` carries, as parents and attachments have it. */
export function gidOfName(name: string | undefined): string | undefined {
  return name?.startsWith("~") && isGid(name.slice(1)) ? name.slice(1) : undefined;
}
