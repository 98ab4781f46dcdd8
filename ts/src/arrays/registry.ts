// SPDX-License-Identifier: AGPL-3.0-or-later
import { fail } from "../common/errors.js";
import { blockioType } from "./blockio/type.js";
import type { StorageType } from "./contract.js";
import { joviandssType } from "./joviandss/type.js";
import { linstorType } from "./linstor/type.js";
import { storpoolType } from "./storpool/type.js";

/** Every storage type that this build knows. A new array is added here. */
export const storageTypes: readonly StorageType[] = [blockioType, joviandssType, linstorType, storpoolType];

/** Throws `invalid` for a type that is not ours. */
export function storageType(type: string): StorageType {
  const found = storageTypes.find((candidate) => candidate.type === type);
  if (!found) throw fail("invalid", `storage type '${type}' is not one of pve-blockio's`);
  return found;
}
