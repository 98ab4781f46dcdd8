// SPDX-License-Identifier: AGPL-3.0-or-later
import { subject } from "./subjects/drbd-file.js";
import { conformance } from "./suite.js";

conformance(subject);
