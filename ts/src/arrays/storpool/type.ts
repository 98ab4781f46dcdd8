// SPDX-License-Identifier: AGPL-3.0-or-later

import { fail } from "../../common/errors.js";
import { blockVolumes } from "../block-volumes.js";
import type { DriverEnvironment, StorageType, VolnameRule, VolumeRef } from "../contract.js";
import { StorpoolDriver } from "./driver.js";
import { nameRules } from "./grammar.js";
import { type ImageKind, tryParseName } from "./naming.js";
import { parseShortName, shortNameRules } from "./request.js";
import { parseSection, storpoolProperties } from "./schema.js";
import type { Pace } from "./session.js";

/** The disk number of a name, with or without global id, for a disk or a base. */
function diskIndex(name: string): number | undefined {
  const ref = tryParseName(name) ?? parseShortName(name);
  return ref?.kind === "disk" || ref?.kind === "base" ? ref.disk : undefined;
}

/** The image that a name speaks of, if it does. */
function imageIn(name: string): { kind: ImageKind; comment: string; staged: boolean } | undefined {
  const ref = tryParseName(name) ?? parseShortName(name);
  if (ref?.kind === "staged") return { kind: ref.of, comment: ref.comment, staged: true };
  return ref?.kind === "img" || ref?.kind === "iso" ? { ...ref, staged: false } : undefined;
}

function baseName({ vmid, name }: VolumeRef): string {
  const image = imageIn(name);
  if (image?.staged) return image.kind === "iso" ? `${image.comment}.iso` : `img-${image.comment}.raw`;
  return `base-${vmid}-disk-${diskIndex(name) ?? 0}`;
}

/** The label is kept, unless it looks like the end of a whole name or is taken. */
function importName({ name }: VolumeRef, choice: number): string {
  const image = imageIn(name);
  if (!image) throw fail("internal", `'${name}' is no image`);
  const suffix = choice === 1 ? "" : `-${choice}`;
  const label = image.comment.replaceAll("-sp-", "_sp_").slice(0, 199 - suffix.length);
  return `staged-${image.kind}-${label}${suffix}.raw`;
}

/** StorPool clusters: volumes by global id, attached by StorPool's own client on the node. */
export const storpoolType: StorageType = {
  type: "storpool",
  ...blockVolumes,
  properties: storpoolProperties,
  content: {
    // `backup` is only accepted: sections of the vendor's plugin may have it, and PVE drops a section that it cannot read.
    allowed: ["images", "rootdir", "iso", "backup", "none"],
    default: ["images", "rootdir"],
  },
  alwaysShared: true,
  base: null,
  locking: "guest",
  volnames: {
    rules: [
      ...nameRules.map(
        ({ pattern, vtype, isBase, format }): VolnameRule => ({ pattern, vtype, isBase, format }),
      ),
      ...shortNameRules,
    ],
  },
  path: "/dev/storpool-byid/{gid}",
  snapshotPath: null,
  arrayNames: true,
  naming: {
    diskName: (vmid, _format, index) => `vm-${vmid}-disk-${index}`,
    volname: (_vmid, name) => name,
    baseName,
    importName,
    diskIndex,
  },
  createDriver: (scfg, environment) => openDriver(scfg, environment),
};

/** The driver of a section, at its usual pace or another one. Throws `invalid`. */
export function openDriver(
  scfg: Readonly<Record<string, unknown>>,
  environment: DriverEnvironment,
  pace?: Pace,
): StorpoolDriver {
  try {
    return new StorpoolDriver(parseSection(scfg, environment.storeid), environment, pace);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw fail("invalid", `storage '${environment.storeid}': ${text}; correct it with pvesm set`, error);
  }
}
