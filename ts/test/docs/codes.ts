// SPDX-License-Identifier: AGPL-3.0-or-later
import { errorTable } from "../../src/common/errors.js";

/** The codes that messages have. */
export const errorCodes = Object.keys(errorTable);
