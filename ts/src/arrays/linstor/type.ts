// SPDX-License-Identifier: AGPL-3.0-or-later
import { blockVolumes } from "../block-volumes.js";
import type { DriverEnvironment, StorageType, VolnameRule, VolumeRef } from "../contract.js";
import { driverOf } from "../open-driver.js";
import { LinstorDriver } from "./driver.js";
import { linstorProperties } from "./properties.js";
import { forgetNames } from "./records.js";
import { parseSection } from "./schema.js";
import { dropSecrets, storeSecrets } from "./secrets.js";
import type { DriverOptions } from "./session.js";

/** What may follow in a name: nothing that PVE's own parsers stumble over, and no @, which begins a snapshot's name. */
const rest = "[A-Za-z0-9_][A-Za-z0-9_.+~-]{0,199}";
const vmid = "(?<vmid>[1-9][0-9]{2,8})";
const about = { vtype: "images", format: "raw" } as const;

const rules: readonly VolnameRule[] = [
  { pattern: `^(?<name>pm-[0-9a-f]{8}_${vmid})$`, isBase: false, ...about },
  { pattern: `^(?<name>base-${vmid}-${rest})$`, isBase: true, ...about },
  { pattern: `^(?<name>vm-${vmid}-${rest})$`, isBase: false, ...about },
  // A linked clone with its base: understood, for PVE's question whether a base is in use, and never given.
  {
    pattern: `^(?<basename>base-(?<basevmid>[1-9][0-9]{2,8})-${rest})/(?<name>vm-${vmid}-${rest})$`,
    isBase: false,
    ...about,
  },
];

function diskIndex(name: string): number | undefined {
  const index = /^(?:vm|base)-[0-9]+-disk-([0-9]{1,9})$/.exec(name)?.[1];
  return index === undefined ? undefined : Number(index);
}

/** The vendor's names have the owner at the end. */
function baseName({ name, vmid: owner }: VolumeRef): string {
  const vendor = /^(pm-[0-9a-f]{8})_/.exec(name)?.[1];
  return vendor === undefined ? name.replace(/^vm-/, "base-") : `base-${owner}-${vendor}`;
}

/** Volumes that LINSTOR manages and DRBD replicates. */
export const linstorType: StorageType = {
  type: "drbd",
  ...blockVolumes,
  featureRequires: { snapshot: "snapshots", clone: "linkedClones", sparseinit: "zeroedOnCreate" },
  properties: linstorProperties,
  content: { allowed: ["images", "rootdir", "none"], default: ["images"] },
  alwaysShared: true,
  base: null,
  locking: "guest",
  volnames: { rules },
  path: "/run/pve-blockio/dev/{storeid}/{name}",
  snapshotPath: "/run/pve-blockio/dev/{storeid}/{name}@{snap}",
  arrayNames: false,
  renamesDetached: true,
  attachesWithoutArray: true,
  sections: {
    add: (change) => storeSecrets(change, true),
    update: (change) => storeSecrets(change, false),
    remove: async (storeid) => {
      await dropSecrets(storeid);
      await forgetNames(storeid);
    },
  },
  naming: {
    diskName: (owner, _format, index) => `vm-${owner}-disk-${index}`,
    volname: (_owner, name) => name,
    baseName,
    diskIndex,
  },
  createDriver: (scfg, environment) => openDriver(scfg, environment),
};

/** The driver of a section; `options` replace what depends on the node. Throws `invalid`. */
export function openDriver(
  scfg: Readonly<Record<string, unknown>>,
  environment: DriverEnvironment,
  options?: DriverOptions,
): LinstorDriver {
  return driverOf(environment.storeid, () => new LinstorDriver(parseSection(scfg), environment, options));
}
