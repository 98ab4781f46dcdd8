// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Subject } from "../subject.js";
import { storpoolSubject } from "./storpool.js";

/** What releases may do differently with tags, flags and lists, done differently. */
export const subject: Subject = {
  ...storpoolSubject("storpool the other way, without outages", {
    behaviour: {
      emptyTagClears: true,
      snapshotInheritsTags: true,
      cloneInheritsTags: true,
      snapshotFlag: false,
      missing: ["VolumesAndSnapshotsList"],
    },
  }),
  // Asked with the default errors: no answer of the service is in them, and they last longest of all.
  outages: [],
};
