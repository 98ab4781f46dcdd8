// SPDX-License-Identifier: AGPL-3.0-or-later
import { fail } from "../../common/errors.js";

const iqnPattern = /^[a-z0-9.:-]+$/;
/** RFC 3720. */
const longest = 223;

/** A prefix as all targets begin: without colons at its end. */
export function targetPrefix(given: string): string {
  return given.replace(/:+$/, "");
}

/** The name of one of a guest's targets. @throws `invalid` */
export function targetName(prefix: string, vmid: number, index: number): string {
  return iqnOf(`${targetPrefix(prefix)}:vm-${vmid}-${index}`);
}

/** A name that the array takes for a target, and that needs no encoding in a path. @throws `invalid` */
export function iqnOf(name: string): string {
  if (iqnPattern.test(name) && name.length <= longest) return name;
  throw fail(
    "invalid",
    `target name '${name}' may have ${longest} small letters, digits and . : - only; correct target_prefix`,
  );
}

/** The index of a target of a guest; undefined when it is another one's. */
export function targetIndex(prefix: string, vmid: number, name: string): number | undefined {
  const start = `${targetPrefix(prefix)}:vm-${vmid}-`;
  const index = name.startsWith(start) ? name.slice(start.length) : "";
  return /^(?:0|[1-9][0-9]{0,8})$/.test(index) ? Number(index) : undefined;
}

/**
 * The identity that udev and multipath give a disk. The array shows the first eight characters of the SCSI id as
 * EUI-64, and nothing else of it.
 *
 * @throws `internal` for an id that is shorter, or not ASCII
 */
export function wwidOf(scsiId: string): string {
  if (!/^[\x21-\x7e]{8,}$/.test(scsiId))
    throw fail(
      "internal",
      `SCSI id '${scsiId}' of JovianDSS has not eight characters; look at the volume there`,
    );
  return `2${Buffer.from(scsiId.slice(0, 8), "ascii").toString("hex")}`;
}

/** The SCSI id of a volume: what the array says, or the beginning of the volume's identity. */
export function scsiIdOf(row: {
  default_scsi_id?: string | undefined;
  volumeId?: string | undefined;
}): string | undefined {
  return row.default_scsi_id ?? row.volumeId?.slice(0, 16);
}
