// SPDX-License-Identifier: AGPL-3.0-or-later
import { fail } from "../../common/errors.js";

/** Tags of an object, by name. An empty value counts as unset. */
export type Tags = Readonly<Record<string, string>>;

/** Whose objects we handle: this PVE cluster's, for one storage. */
export interface Owner {
  /** Cluster slug, `pve-loc`. */
  readonly slug: string;
  /** PVE storage id, `pve`. */
  readonly storeid: string;
}

/** What an image holds: a VM's disk, or a container's. Both are block devices. */
export type ImageType = "images" | "rootdir";

/** An object to make, and what its tags say. */
export type TagSpec =
  | {
      readonly kind: "disk" | "base";
      readonly vmid: number;
      readonly disk: number;
      readonly type?: ImageType;
    }
  | {
      readonly kind: "snap";
      readonly vmid: number;
      readonly disk: number;
      readonly snap: string;
      /** Global id of the volume that the snapshot is of. */
      readonly parentGid: string;
      readonly type?: ImageType;
    }
  | { readonly kind: "state"; readonly vmid: number; readonly snap: string }
  | { readonly kind: "cloudinit"; readonly vmid: number }
  | { readonly kind: "img" | "iso"; readonly comment?: string };

/** The label of an image that has none. */
export const unlabeled = "unlabeled";

/**
 * Tag that marks what one request of ours made, so that a creation whose reply was lost can be found; taken off as soon
 * as the object is known. The published format leaves room for tags of others (`extra-tags`), and every reader of it
 * ignores what it does not know.
 */
export const requestTag = "pve-blockio-request";

/** Begins the mark of snapshots that were taken together; the time of PVE's snapshot follows, then a dash. */
const group = "group-";

/** The beginning of the mark of what one of PVE's snapshots makes; `time` tells its attempts apart. */
export function groupPrefix(time: number): string {
  return `${group}${time}-`;
}

/** The mark of a snapshot that was taken together with another volume's and that PVE has not asked for yet. */
export function groupMark(tags: Tags): string | undefined {
  const mark = tag(tags, requestTag);
  return mark?.startsWith(group) ? mark : undefined;
}

const published = [
  "virt",
  "pve-loc",
  "pve",
  "pve-type",
  "pve-vm",
  "pve-disk",
  "pve-base",
  "pve-snap",
  "pve-snap-v",
  "pve-comment",
] as const;

const tagName = /^[A-Za-z0-9_.:-]{1,199}$/;
const tagValue = /^[A-Za-z0-9_.:-]{0,199}$/;

/**
 * Tags that take back what a copy got from its source: a clone of a snapshot is neither snapshot nor template. Sent
 * together with the copy's own tags, which win.
 */
export const clearedTags: Tags = { "pve-base": "0", "pve-snap": "", "pve-snap-v": "", "pve-comment": "" };

/** The tag set of an object to make. `extra` never overrides ours. */
export function buildTags(owner: Owner, spec: TagSpec, extra: Tags = {}): Record<string, string> {
  const own: Record<string, string> = {
    virt: "pve",
    "pve-loc": owner.slug,
    pve: owner.storeid,
    ...ownTags(spec),
  };
  for (const [name, value] of Object.entries(own)) {
    if (value === "" || !tagValue.test(value)) {
      throw fail(
        "invalid",
        `tag a StorPool object: ${name} cannot have the value '${value}'; use another name`,
      );
    }
  }
  return { ...extra, ...own };
}

function ownTags(spec: TagSpec): Record<string, string> {
  switch (spec.kind) {
    case "disk":
      return { "pve-type": spec.type ?? "images", "pve-vm": `${spec.vmid}`, "pve-disk": `${spec.disk}` };
    case "base":
      return {
        "pve-type": spec.type ?? "images",
        "pve-vm": `${spec.vmid}`,
        "pve-disk": `${spec.disk}`,
        "pve-base": "1",
      };
    case "snap":
      return {
        "pve-type": spec.type ?? "images",
        "pve-vm": `${spec.vmid}`,
        "pve-disk": `${spec.disk}`,
        "pve-snap": spec.snap,
        "pve-snap-v": spec.parentGid,
      };
    case "state":
      return { "pve-type": "images", "pve-vm": `${spec.vmid}`, "pve-disk": "state", "pve-snap": spec.snap };
    case "cloudinit":
      return { "pve-type": "images", "pve-vm": `${spec.vmid}`, "pve-disk": "cloudinit" };
    case "img":
      return { "pve-type": "images", "pve-comment": sanitizeComment(spec.comment) };
    case "iso":
      return { "pve-type": "iso", "pve-comment": sanitizeComment(spec.comment) };
  }
}

/** A label made of what tags may contain: other characters become `_`, nothing becomes `unlabeled`. */
export function sanitizeComment(comment: string | undefined): string {
  if (!/[A-Za-z0-9_.:-]/.test(comment ?? "")) return unlabeled;
  return (comment ?? "").replace(/[^A-Za-z0-9_.:-]+/g, "_").slice(0, 199);
}

/**
 * Parses the `extra-tags` property: `key=value` separated by blanks.
 *
 * @throws `invalid` for a malformed entry, a repeated key, or one that the storage format itself uses.
 */
export function parseExtraTags(text: string | undefined): Record<string, string> {
  const tags: Record<string, string> = {};
  for (const entry of (text ?? "").split(/\s+/).filter((part) => part !== "")) {
    const equals = entry.indexOf("=");
    const name = entry.slice(0, Math.max(equals, 0));
    const value = entry.slice(equals + 1);
    if (!tagName.test(name) || !tagValue.test(value) || name === "__proto__") {
      throw fail(
        "invalid",
        `extra-tags: '${entry}' must be key=value of letters, digits and _ . : -; correct it with pvesm set`,
      );
    }
    if (isReserved(name) || Object.hasOwn(tags, name)) {
      const why = Object.hasOwn(tags, name) ? "is there twice" : "is used by the storage itself";
      throw fail("invalid", `extra-tags: key '${name}' ${why}; correct it with pvesm set`);
    }
    tags[name] = value;
  }
  return tags;
}

function isReserved(name: string): boolean {
  return (published as readonly string[]).includes(name) || name.startsWith("pve-blockio-");
}

/** The value of a tag; undefined when it is empty or not there. */
export function tag(tags: Tags, name: (typeof published)[number] | typeof requestTag): string | undefined {
  return Object.hasOwn(tags, name) ? tags[name] || undefined : undefined;
}

/** Whose an object is: `ours`, of `another-storage` of this cluster, or `foreign`. */
export type Ownership = "ours" | "another-storage" | "foreign";

/** Reads whose an object is. An owner without slug or storage id owns nothing: an empty one is never a wildcard. */
export function ownership(tags: Tags, owner: Owner): Ownership {
  if (owner.slug === "" || owner.storeid === "") return "foreign";
  if (tag(tags, "virt") !== "pve" || tag(tags, "pve-loc") !== owner.slug) return "foreign";
  const storeid = tag(tags, "pve");
  if (storeid === undefined) return "foreign";
  return storeid === owner.storeid ? "ours" : "another-storage";
}

/**
 * The slug that marks this cluster's objects: the cluster's name, the node's name on a node without cluster.
 *
 * @throws `invalid` when neither can be a tag value.
 */
export function clusterSlug(clusterName: string | undefined, nodeName: string): string {
  const slug = clusterName === undefined || clusterName === "" ? nodeName : clusterName;
  if (slug === "" || !tagValue.test(slug)) {
    throw fail(
      "invalid",
      `name of the PVE cluster: '${slug}' must be letters, digits and _ . : - to mark volumes`,
    );
  }
  return slug;
}
