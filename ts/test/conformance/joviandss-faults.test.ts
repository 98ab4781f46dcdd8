// SPDX-License-Identifier: AGPL-3.0-or-later
import { underFaults } from "../arrays/joviandss/seeds.js";

underFaults(11, 100);
