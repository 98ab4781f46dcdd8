// SPDX-License-Identifier: AGPL-3.0-or-later
import type { VolnameRule } from "../contract.js";
import { disk, vmid } from "./grammar.js";

/** A volume that is asked for, or looked for, without its global id. */
export type Request =
  | { readonly kind: "disk"; readonly vmid: number; readonly disk: number }
  | { readonly kind: "base"; readonly vmid: number; readonly disk: number }
  | { readonly kind: "state"; readonly vmid: number; readonly snap: string }
  | { readonly kind: "cloudinit"; readonly vmid: number }
  /** A name that the published format has no place for: it becomes a disk with a number. */
  | { readonly kind: "other"; readonly vmid: number };

const forms = [
  { kind: "disk", body: `vm-${vmid}-disk-${disk}` },
  { kind: "base", body: `base-${vmid}-disk-${disk}` },
  { kind: "state", body: `vm-${vmid}-state-(?<snap>[A-Za-z][A-Za-z0-9_-]{0,38}[A-Za-z0-9_-])` },
  { kind: "cloudinit", body: `vm-${vmid}-cloudinit` },
  {
    kind: "other",
    body: `vm-${vmid}-(?!(?:disk|state|cloudinit)-?)(?!.*-sp-)[A-Za-z0-9][A-Za-z0-9_.-]{0,99}`,
  },
] as const;

const parsers = forms.map(({ kind, body }) => ({ kind, pattern: new RegExp(`^${body}(?:\\.raw)?$`) }));

/** What PVE asks for by a name without global id; undefined for any other name. */
export function parseShortName(name: string): Request | undefined {
  for (const { kind, pattern } of parsers) {
    const groups = pattern.exec(name)?.groups;
    if (!groups) continue;
    const owner = Number(groups["vmid"]);
    switch (kind) {
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

/** The grammar of the short names, tried after that of the published ones. */
export const shortNameRules: readonly VolnameRule[] = forms.map(({ kind, body }) => ({
  pattern: `^(?<name>${body}(?:\\.raw)?)$`,
  vtype: "images",
  isBase: kind === "base",
  format: "raw",
}));
