// SPDX-License-Identifier: AGPL-3.0-or-later

/** What a volume name can stand for. */
export type NameKind = "disk" | "base" | "snap" | "state" | "cloudinit" | "img" | "iso" | "staged";

/** One rule of the grammar. */
export interface NameRule {
  readonly kind: NameKind;
  /**
   * Only what Perl and JavaScript have in common. Named groups: `name` always (the whole name); `vmid`, `gid`, `disk`,
   * `snap`, `parent` (global id of the snapshotted volume) and `comment` where the name has them.
   */
  readonly pattern: string;
  readonly vtype: "images" | "iso";
  readonly isBase: boolean;
  readonly format: "raw";
}

const id = "[a-z0-9]+\\.[a-z0-9]+\\.[a-z0-9]+";
const gid = `(?<gid>${id})`;
export const vmid = "(?<vmid>[1-9][0-9]{2,8})";
export const disk = "(?<disk>0|[1-9][0-9]{0,8})";
/** PVE's rule for snapshot names, and the dot that names of the published format may have inside. */
const snap = "(?<snap>[A-Za-z][A-Za-z0-9_.-]{0,38}[A-Za-z0-9_-])";
/** What tag values may contain; greedy, so that the last `-sp-` counts. */
const comment = "(?<comment>[A-Za-z0-9_.:-]{1,199})";

function rule(kind: NameKind, body: string, options: { vtype?: "iso"; isBase?: boolean } = {}): NameRule {
  return {
    kind,
    pattern: `^(?<name>${body})$`,
    vtype: options.vtype ?? "images",
    isBase: options.isBase ?? false,
    format: "raw",
  };
}

/**
 * The names of the published format, in the order in which they are tried. Images are immutable, as bases are. The last
 * one is ours and in no listing: the volume that an image is written to, see `images.ts`.
 */
export const nameRules: readonly NameRule[] = [
  rule("iso", `${comment}-sp-${gid}\\.iso`, { vtype: "iso", isBase: true }),
  rule("img", `img-${comment}-sp-${gid}\\.raw`, { isBase: true }),
  rule("snap", `snap-${vmid}-disk-${disk}-${snap}-p-(?<parent>${id})-sp-${gid}\\.raw`),
  rule("state", `snap-${vmid}-state-${snap}-sp-${gid}\\.raw`),
  rule("base", `base-${vmid}-disk-${disk}-sp-${gid}\\.raw`, { isBase: true }),
  rule("disk", `vm-${vmid}-disk-${disk}-sp-${gid}\\.raw`),
  rule("cloudinit", `vm-${vmid}-cloudinit-sp-${gid}\\.raw`),
  rule("cloudinit", `vm-${vmid}-cloudinit\\.raw`),
  rule("staged", `staged-(?<of>img|iso)-${comment}-sp-${gid}\\.raw`),
];

/** A global id alone. */
export const gidPattern: RegExp = new RegExp(`^${id}$`);
