// SPDX-License-Identifier: AGPL-3.0-or-later
import { subject } from "./subjects/drbd.js";
import { conformance } from "./suite.js";

conformance(subject);
