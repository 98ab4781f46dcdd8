// SPDX-License-Identifier: AGPL-3.0-or-later
import type { VolnameRule } from "../contract.js";
import { disk, vmid } from "./grammar.js";
import type { ImageKind } from "./naming.js";

/** A volume that is asked for, or looked for, without its global id. */
export type Request =
  | { readonly kind: "disk"; readonly vmid: number; readonly disk: number }
  | { readonly kind: "base"; readonly vmid: number; readonly disk: number }
  | { readonly kind: "state"; readonly vmid: number; readonly snap: string }
  | { readonly kind: "cloudinit"; readonly vmid: number }
  | { readonly kind: "img"; readonly comment: string }
  | { readonly kind: "iso"; readonly comment: string }
  | { readonly kind: "staged"; readonly of: ImageKind; readonly comment: string }
  /** A name that the published format has no place for: it becomes a disk with a number. */
  | { readonly kind: "other"; readonly vmid: number };

/** The label of an image; with a global id behind it, it would be another storage's whole name. */
const label = "(?<comment>(?!.*-sp-)[A-Za-z0-9_.:-]{1,199})";

const forms = [
  { kind: "iso", body: label, ending: "\\.iso" },
  { kind: "img", body: `img-${label}` },
  { kind: "staged", body: `staged-(?<of>img|iso)-${label}` },
  { kind: "disk", body: `vm-${vmid}-disk-${disk}` },
  { kind: "base", body: `base-${vmid}-disk-${disk}` },
  { kind: "state", body: `vm-${vmid}-state-(?<snap>[A-Za-z][A-Za-z0-9_-]{0,38}[A-Za-z0-9_-])` },
  { kind: "cloudinit", body: `vm-${vmid}-cloudinit` },
  {
    kind: "other",
    body: `vm-${vmid}-(?!(?:disk|state|cloudinit)-?)(?!.*-sp-)[A-Za-z0-9][A-Za-z0-9_.-]{0,99}`,
  },
] as const;

const rules = forms.map((form) => {
  const ending = "ending" in form ? form.ending : "(?:\\.raw)?";
  return { kind: form.kind, pattern: `^(?<name>${form.body}${ending})$` };
});
const parsers = rules.map(({ kind, pattern }) => ({ kind, pattern: new RegExp(pattern) }));

/** What PVE asks for by a name without global id; undefined for any other name. */
export function parseShortName(name: string): Request | undefined {
  for (const { kind, pattern } of parsers) {
    const groups = pattern.exec(name)?.groups;
    if (!groups) continue;
    const owner = Number(groups["vmid"]);
    const { comment = "" } = groups;
    switch (kind) {
      case "iso":
        return { kind, comment };
      case "img":
        return { kind, comment: withoutFormat(comment) };
      case "staged":
        return { kind, of: groups["of"] === "iso" ? "iso" : "img", comment: withoutFormat(comment) };
      case "disk":
      case "base":
        return { kind, vmid: owner, disk: Number(groups["disk"]) };
      case "state":
        return { kind, vmid: owner, snap: groups["snap"] ?? "" };
      case "cloudinit":
      case "other":
        return { kind, vmid: owner };
    }
  }
  return undefined;
}

/** The longer reading counts where a pattern is greedy: `.raw` at the end is the format, not part of a label. */
function withoutFormat(comment: string): string {
  return comment.replace(/(?<=.)\.raw$/, "");
}

/** The grammar of the short names, tried after that of the published ones. */
export const shortNameRules: readonly VolnameRule[] = rules.map(({ kind, pattern }) => ({
  pattern,
  vtype: kind === "iso" ? "iso" : "images",
  isBase: kind === "base" || kind === "iso" || kind === "img",
  format: "raw",
}));
