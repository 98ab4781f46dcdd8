// SPDX-License-Identifier: AGPL-3.0-or-later
import { fail } from "../common/errors.js";

/** Makes the driver of a section. Throws `invalid` with what is wrong with the section. */
export function driverOf<T>(storeid: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw fail("invalid", `storage '${storeid}': ${describe(error)}; correct it with pvesm set`, error);
  }
}

/** Without the values, which may be secrets. */
function describe(error: unknown): string {
  const { issues } = error as { issues?: { path: PropertyKey[]; message: string }[] };
  if (!issues) return error instanceof Error ? error.message : String(error);
  return issues.map(({ path, message }) => `property '${path.join(".")}': ${message}`).join(", ");
}
