// SPDX-License-Identifier: AGPL-3.0-or-later

/** The id of a volume on an array that several clusters share. */
export function withPrefix(volname: string, prefix: string | undefined): string {
  return prefix === undefined ? volname : `${prefix}_${volname}`;
}

/** The name in PVE of an id; undefined when it belongs to another cluster, or to no guest. */
export function withoutPrefix(id: string, prefix: string | undefined): string | undefined {
  const start = prefix === undefined ? "" : `${prefix}_`;
  if (!id.startsWith(start)) return undefined;
  const volname = id.slice(start.length);
  return /^(?:vm|base)-[0-9]+-/.test(volname) ? volname : undefined;
}
