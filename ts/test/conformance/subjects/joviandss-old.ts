// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Subject } from "../subject.js";
import { joviandssSubject } from "./joviandss.js";

/** Firmware with the API before: its errors, its lists, nothing about portals; and a section with everything turned. */
export const subject: Subject = {
  ...joviandssSubject(
    "joviandss v3, without outages",
    {
      behaviour: {
        versions: ["v3"],
        errors: "legacy",
        errno: "string",
        lists: "array",
        snapshotRows: "flat",
        timeZoneMinutes: 0,
        targetConflict: "base.iscsi.target",
        hasClones: "zfs",
        created: 200,
        changed: 200,
      },
    },
    { thin_provisioning: 0, cluster_prefix: "pveA", multipath: 1, luns_per_target: 1 },
  ),
  // Asked with the default firmware: no answer of the array is in them, and they last longest of all.
  outages: [],
};
