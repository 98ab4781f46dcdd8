// SPDX-License-Identifier: AGPL-3.0-or-later
import { underFaults } from "./seeds.js";

underFaults(1, 10);
