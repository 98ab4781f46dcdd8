// SPDX-License-Identifier: AGPL-3.0-or-later
import { refuse } from "./replies.js";
import type { Properties } from "./state.js";

/** What a request changes. */
export interface PropertyChanges {
  readonly override_props: Properties;
  readonly delete_props: readonly string[];
  readonly delete_namespaces: readonly string[];
}

const namespaces = [
  "Aux/",
  "Autoplacer/",
  "BackupShipping/",
  "DrbdOptions/",
  "FileSystem/",
  "NVMe/",
  "StorDriver/",
  "sys/",
];
const plain = ["PrefNic", "StorPoolName", "StorPoolNameDrbdMeta"];
const values: Readonly<Record<string, RegExp>> = {
  "DrbdOptions/Net/allow-two-primaries": /^(?:yes|no)$/,
  "DrbdOptions/Net/protocol": /^[ABC]$/,
  "DrbdOptions/ExactSize": /^(?:true|false)$/i,
  "DrbdOptions/auto-add-quorum-tiebreaker": /^(?:true|false)$/i,
  "StorDriver/Zfs/RollbackStrategy": /^(?:rollback|clone|dynamic)$/i,
};

/** Refuses keys and values that the service's rules do not have. */
export function checkProperties(given: Properties): void {
  for (const [key, value] of Object.entries(given)) {
    const known =
      plain.includes(key) || namespaces.some((prefix) => key.startsWith(prefix) && key !== prefix);
    if (!known) throw refuse("invalidProperty", `Invalid property key: ${key}`);
    if (values[key] && !values[key].test(value))
      throw refuse("invalidProperty", `Invalid property value`, {
        cause: `'${value}' is no value of '${key}'`,
      });
  }
}

/** Changes properties; those that begin with a deleted namespace go. */
export function changeProperties(props: Properties, changes: PropertyChanges): void {
  checkProperties(changes.override_props);
  for (const key of changes.delete_props) delete props[key];
  for (const prefix of changes.delete_namespaces)
    for (const key of Object.keys(props))
      if (key === prefix || key.startsWith(prefix.endsWith("/") ? prefix : `${prefix}/`)) delete props[key];
  Object.assign(props, changes.override_props);
}

export function isEmptyChange({ override_props, delete_props, delete_namespaces }: PropertyChanges): boolean {
  return Object.keys(override_props).length + delete_props.length + delete_namespaces.length === 0;
}
