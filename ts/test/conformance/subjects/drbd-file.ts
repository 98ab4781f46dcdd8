// SPDX-License-Identifier: AGPL-3.0-or-later
import { drbdSubject } from "./drbd.js";

/** One of three satellites is away all the time. */
export const subject = drbdSubject("drbd in files, a satellite offline", {
  kind: "FILE_THIN",
  nodes: 3,
  offline: true,
});
