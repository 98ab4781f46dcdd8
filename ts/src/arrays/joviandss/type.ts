// SPDX-License-Identifier: AGPL-3.0-or-later

import { blockVolumes } from "../block-volumes.js";
import type { DriverEnvironment, StorageType, VolnameRule, VolumeRef } from "../contract.js";
import { driverOf } from "../open-driver.js";
import { JoviandssDriver } from "./driver.js";
import { joviandssProperties, parseSection } from "./schema.js";
import { dropSecrets, storeSecrets } from "./secrets.js";
import type { DriverOptions } from "./session.js";

/** What may follow in a name: nothing that PVE's own parsers stumble over. */
const rest = "[A-Za-z0-9_][A-Za-z0-9_.+@~-]{0,199}";
const vmid = "(?<vmid>[1-9][0-9]{2,8})";

/** The plain name, and the one that PVE makes for storages with `path`. */
function rules(prefix: "vm" | "base"): VolnameRule[] {
  const about = { vtype: "images", isBase: prefix === "base", format: "raw" } as const;
  return [
    { pattern: `^(?<name>${prefix}-${vmid}-${rest})$`, ...about },
    { pattern: `^${vmid}/(?<name>${prefix}-\\k<vmid>-${rest})$`, ...about },
  ];
}

/** A linked clone with its base: understood, for PVE's question whether a base is in use, and never given. */
const withBase: VolnameRule = {
  pattern: `^(?<basename>base-(?<basevmid>[1-9][0-9]{2,8})-${rest})/(?<name>vm-${vmid}-${rest})$`,
  vtype: "images",
  isBase: false,
  format: "raw",
};

function diskIndex(name: string): number | undefined {
  const index = /^(?:vm|base)-[0-9]+-disk-([0-9]{1,9})(?:\.(?:raw|qcow2))?$/.exec(name)?.[1];
  return index === undefined ? undefined : Number(index);
}

/** Pools of Open-E JovianDSS over iSCSI. */
export const joviandssType: StorageType = {
  type: "joviandss",
  ...blockVolumes,
  properties: joviandssProperties,
  content: { allowed: ["images", "rootdir", "none"], default: ["images", "rootdir"] },
  alwaysShared: false,
  base: null,
  locking: "guest",
  volnames: { rules: [...rules("base"), ...rules("vm"), withBase] },
  path: "/run/pve-blockio/dev/{storeid}/{name}",
  snapshotPath: "/run/pve-blockio/dev/{storeid}/{name}@{snap}",
  arrayNames: false,
  renamesDetached: true,
  sections: {
    add: (change) => storeSecrets(change, true),
    update: (change) => storeSecrets(change, false),
    remove: (storeid) => dropSecrets(storeid),
  },
  naming: {
    diskName: (owner, _format, index) => `vm-${owner}-disk-${index}`,
    volname: (_owner, name) => name,
    baseName: (ref: VolumeRef) => ref.name.replace(/^vm-/, "base-"),
    diskIndex,
  },
  createDriver: (scfg, environment) => openDriver(scfg, environment),
};

/** The driver of a section; `options` replace what depends on the node. Throws `invalid`. */
export function openDriver(
  scfg: Readonly<Record<string, unknown>>,
  environment: DriverEnvironment,
  options?: DriverOptions,
): JoviandssDriver {
  return driverOf(environment.storeid, () => new JoviandssDriver(parseSection(scfg), environment, options));
}
