// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Subject } from "../subject.js";
import { joviandssSubject } from "./joviandss.js";

/** What was never verified on an array, done the other way, and what may come late, late. */
export const subject: Subject = {
  ...joviandssSubject(
    "joviandss the other way, without outages",
    {
      behaviour: {
        notFoundStatus: 500,
        errno: "absent",
        errorWithout: ["class"],
        epoch: "string",
        snapshotWithoutCreation: true,
        ignoresPage: true,
        wrongResults: true,
        unaligned: "reject",
        deleteAttached: "busy",
        renameAttached: "follow",
        sameTargetInPools: "refuse",
        targetCreated: 202,
        targetCreateMs: 30,
        targetDeleteCalls: 2,
        renameLagMs: 30,
        resizeLagMs: 30,
      },
    },
    { chap_enabled: 1, chap_user_name: "pve", data_addresses: "127.0.0.1" },
  ),
  outages: [],
  malformed: { "CHAP without a user": { chap_user_name: undefined } },
};
