// SPDX-License-Identifier: AGPL-3.0-or-later
import { drbdSubject } from "./drbd.js";

/** Two satellites and no tie-breaker. */
export const subject = drbdSubject("drbd on ZFS, two satellites", { kind: "ZFS", nodes: 2 });
