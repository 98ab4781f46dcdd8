// SPDX-License-Identifier: AGPL-3.0-or-later
import { underFaults } from "../arrays/linstor/seeds.js";

underFaults(11, 50);
