// SPDX-License-Identifier: AGPL-3.0-or-later
import { fail } from "../../common/errors.js";
import { decodeBase32, encodeBase32 } from "./base32.js";

/** What stands behind the name of a zvol. `id` is the name in PVE, with the cluster prefix. */
export type VolumeObject =
  | { readonly kind: "volume"; readonly id: string }
  /** A temporary clone of a snapshot, for reading it. */
  | { readonly kind: "export"; readonly id: string; readonly snapshot: string };

/** What stands behind the name of a snapshot of a zvol. */
export type SnapshotObject =
  | { readonly kind: "snapshot"; readonly snapshot: string }
  /** Taken for the clone whose volume has the same name. */
  | { readonly kind: "intermediate"; readonly id: string }
  /** Of NFS storages and earlier plugins: only recognised, never made. `id` where the name tells it. */
  | { readonly kind: "legacy"; readonly snapshot?: string; readonly id?: string };

/** The array takes these characters and no others, up to 256. */
const allowed = /^[A-Za-z0-9_-]{1,256}$/;
const simple = /^[A-Za-z0-9_-]+$/;

function sane(text: string): string {
  return text.replaceAll(/[^A-Za-z0-9_-]/gu, "_");
}

function checked(name: string, what: string): string {
  if (allowed.test(name)) return name;
  throw fail(
    "invalid",
    `${what}: its name on JovianDSS would be '${name}', which is too long; choose a shorter one`,
  );
}

/** The array's name of a volume. */
export function volumeObjectName(id: string): string {
  if (id === "") throw fail("invalid", "a volume without a name; name it");
  const name = simple.test(id) ? `v_${id}` : `vh_${sane(id)}_${encodeBase32(id)}`;
  return checked(name, `volume '${id}'`);
}

/** The array's name of a user's snapshot. */
export function snapshotObjectName(snapshot: string): string {
  if (snapshot === "") throw fail("invalid", "a snapshot without a name; name it");
  const name = simple.test(snapshot) ? `s_${snapshot}` : `sh_${sane(snapshot)}_${encodeBase32(snapshot)}`;
  return checked(name, `snapshot '${snapshot}'`);
}

/** The array's name of the clone that makes a snapshot readable. */
export function exportObjectName(id: string, snapshot: string): string {
  const name = simple.test(snapshot)
    ? `se_${snapshot}_${encodeBase32(id)}`
    : `shv_${sane(snapshot)}_${encodeBase32(snapshot)}_${encodeBase32(id)}`;
  return checked(name, `snapshot '${snapshot}' of volume '${id}'`);
}

/** Takes the name of a zvol apart; undefined for what is not ours. */
export function parseVolumeObject(name: string): VolumeObject | undefined {
  if (!allowed.test(name)) return undefined;
  const [prefix = "", ...fields] = name.split("_");
  const rest = name.slice(prefix.length + 1);
  switch (prefix) {
    case "v":
      return rest === "" ? undefined : { kind: "volume", id: rest };
    case "vh":
      return volume(fields.length > 1 ? decodeBase32(fields.at(-1)) : undefined);
    case "vb":
      return volume(decodeBase32(rest));
    case "se": {
      // The name of the snapshot may have the separator in it, base32 has not.
      const id = decodeBase32(fields.at(-1));
      const snapshot = fields.slice(0, -1).join("_");
      return id === undefined || snapshot === "" ? undefined : { kind: "export", id, snapshot };
    }
    case "shv": {
      const id = decodeBase32(fields.at(-1));
      const snapshot = decodeBase32(fields.at(-2));
      if (fields.length < 3 || id === undefined || snapshot === undefined) return undefined;
      return { kind: "export", id, snapshot };
    }
    default:
      return undefined;
  }
}

function volume(id: string | undefined): VolumeObject | undefined {
  return id === undefined ? undefined : { kind: "volume", id };
}

/** Takes the name of a snapshot apart; undefined for what is not ours, such as those of the array's scheduler. */
export function parseSnapshotObject(name: string): SnapshotObject | undefined {
  if (!allowed.test(name)) return undefined;
  const [prefix = "", ...fields] = name.split("_");
  const rest = name.slice(prefix.length + 1);
  switch (prefix) {
    case "s":
      return rest === "" ? undefined : { kind: "snapshot", snapshot: rest };
    case "sh": {
      const snapshot = fields.length > 1 ? decodeBase32(fields.at(-1)) : undefined;
      return snapshot === undefined ? undefined : { kind: "snapshot", snapshot };
    }
    case "v":
    case "vh": {
      const clone = parseVolumeObject(name);
      return clone ? { kind: "intermediate", id: clone.id } : undefined;
    }
    case "sb": {
      const [snapshot, id] = [decodeBase32(fields[0]), decodeBase32(fields[1])];
      return snapshot === undefined
        ? undefined
        : { kind: "legacy", snapshot, ...(id === undefined ? {} : { id }) };
    }
    case "sp":
    case "sn":
      return rest === "" ? undefined : { kind: "legacy" };
    default:
      return undefined;
  }
}

/** True for a volume that waits for its clones to go: hidden by an earlier plugin, never listed. */
export function isHidden(name: string): boolean {
  return name.startsWith("t_");
}
