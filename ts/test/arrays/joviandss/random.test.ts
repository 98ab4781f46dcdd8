// SPDX-License-Identifier: AGPL-3.0-or-later
import { underFaults } from "./seeds.js";

// The others are asked beside the conformance suite: they take their time.
underFaults(1, 10);
