// SPDX-License-Identifier: AGPL-3.0-or-later
import { fail } from "../../common/errors.js";
import type { Format, StorageType, VolumeRef } from "../contract.js";
import { BlockioDriver } from "./driver.js";
import { blockioProperties, parseSection } from "./schema.js";

const vmid = "(?<vmid>[1-9][0-9]{2,8})";
/**
 * What may follow in a name: no blank, comma, equals sign, quote or colon, which PVE's own parsers stumble over. Short
 * enough for the longer names of what is hidden beside a volume.
 */
const rest = "[A-Za-z0-9_][A-Za-z0-9_.+@~-]{0,127}";

function role(prefix: string, extension: Format): string {
  return `^${vmid}/(?<name>${prefix}-\\k<vmid>-${rest}\\.${extension})$`;
}

/**
 * The embedded array: image files and container directories below `path`, laid out as a PVE directory storage
 * does, with snapshots and clones by reflink.
 */
export const blockioType: StorageType = {
  type: "blockio",
  properties: blockioProperties,
  content: {
    allowed: ["images", "rootdir", "vztmpl", "iso", "backup", "snippets", "import", "none"],
    default: ["images", "rootdir"],
  },
  formats: { allowed: ["raw", "subvol"], default: "raw" },
  alwaysShared: false,
  base: "directory",
  locking: "guest",
  volnames: {
    delegate: "^(?:iso|vztmpl|backup|snippets|import)/",
    rules: [
      { pattern: role("base", "raw"), vtype: "images", isBase: true, format: "raw" },
      { pattern: role("basevol", "subvol"), vtype: "images", isBase: true, format: "subvol" },
      { pattern: role("vm", "raw"), vtype: "images", isBase: false, format: "raw" },
      { pattern: role("subvol", "subvol"), vtype: "images", isBase: false, format: "subvol" },
      {
        // Any other name that does not look like one of the above of somebody else.
        pattern: `^${vmid}/(?<name>(?!(?:vm|base|subvol|basevol)-[0-9]+-)${rest}\\.(?<format>raw|subvol))$`,
        vtype: "images",
        isBase: false,
        format: "{format}",
      },
    ],
  },
  path: "{dir:images}/{vmid}/{name}",
  snapshotPath: "{dir:images}/{vmid}/.snap/{name}/{snap}",
  features: {
    snapshot: { current: ["raw", "subvol"] },
    clone: { base: ["raw", "subvol"], snap: ["raw", "subvol"] },
    template: { current: ["raw", "subvol"] },
    // PVE mounts what it copies, and knows no way for the snapshot of a directory.
    copy: { base: ["raw", "subvol"], current: ["raw", "subvol"], snap: ["raw"] },
    sparseinit: { base: ["raw"], current: ["raw"] },
    rename: { current: ["raw", "subvol"] },
  },
  featureRequires: { snapshot: "reflink", clone: "reflink" },
  streams: { raw: { "raw+size": "service" }, subvol: { "tar+size": "service" } },
  blockdev: { driver: "file" },
  arrayNames: false,
  needsFsfreeze: true,
  needsDeactivation: false,
  naming: {
    diskName: (owner, format, index) =>
      `${format === "subvol" ? "subvol" : "vm"}-${owner}-disk-${index}.${format}`,
    volname: (owner, name) => `${owner}/${name}`,
    baseName: (ref: VolumeRef) => ref.name.replace(/^vm-/, "base-").replace(/^subvol-/, "basevol-"),
    diskIndex: (name) => {
      const index = /^(?:vm|base|subvol|basevol)-[0-9]+-disk-([0-9]{1,4})\./.exec(name)?.[1];
      return index === undefined ? undefined : Number(index);
    },
  },
  createDriver(scfg, environment) {
    try {
      return new BlockioDriver(parseSection(scfg), environment);
    } catch (error) {
      throw fail(
        "invalid",
        `storage '${environment.storeid}': ${describe(error)}; correct it with pvesm set`,
        error,
      );
    }
  },
};

function describe(error: unknown): string {
  const issues = (error as { issues?: { path: PropertyKey[]; message: string }[] }).issues;
  if (!issues) return error instanceof Error ? error.message : String(error);
  return issues.map((issue) => `property '${issue.path.join(".")}' must be ${issue.message}`).join(", ");
}
