// SPDX-License-Identifier: AGPL-3.0-or-later

/** What a guest is: its configurations lie in the directory of that name. */
export type GuestKind = "qemu-server" | "lxc";

/** A snapshot that PVE has begun to take. */
export interface PreparedSnapshot {
  /** When it began, seconds since the epoch; another attempt of the same name has another one. */
  readonly time: number;
  /** Volume IDs that get a snapshot, in PVE's order. */
  readonly volids: readonly string[];
}

/** The lock of a guest, for instance `migrate`. `config` is the text of its configuration file. */
export function lockOf(config: string): string | undefined {
  return currentOf(config).get("lock");
}

/** Whether a guest has a volume among its disks now, its snapshots' apart. `volid` is `STOREID:VOLNAME`. */
export function hasDisk(config: string, kind: GuestKind, volid: string): boolean {
  return [...currentOf(config)].some(([key, value]) => diskOf(kind, key, value)?.volid === volid);
}

/** The values that hold now; those of snapshots and pending changes are in sections behind them. */
function currentOf(config: string): Map<string, string> {
  return valuesOf(config.split(/^\[/m, 1)[0] ?? "");
}

/** Whether a configuration, or a snapshot in it, has the volume on any storage. */
export function mentions(config: string, volname: string): boolean {
  const [, ...others] = config.split(`:${volname}`);
  return others.some((after) => /^(?:[\s,]|$)/.test(after));
}

/** The snapshot `snap` when the configuration says that PVE is taking it now. */
export function preparedSnapshot(
  config: string,
  kind: GuestKind,
  snap: string,
): PreparedSnapshot | undefined {
  if (lockOf(config) !== "snapshot") return undefined;
  const section = config.split(/^(?=\[)/m).find((part) => part.startsWith(`[${snap}]`));
  const values = valuesOf(section ?? "");
  const time = Number(values.get("snaptime"));
  if (values.get("snapstate") !== "prepare" || !Number.isSafeInteger(time) || time <= 0) return undefined;
  const volids = [...values].flatMap(([key, value]) => snapshotted(kind, snap, key, value) ?? []);
  return { time, volids };
}

/** The volume ID of a disk or mount point that takes part in a snapshot. */
function snapshotted(kind: GuestKind, snap: string, key: string, value: string): string | undefined {
  const disk = diskOf(kind, key, value);
  if (!disk || disk.options.get("media") === "cdrom") return undefined;
  // A backup leaves out what it is told to.
  if (snap === "vzdump" && key !== "rootfs" && disk.options.get("backup") !== "1") return undefined;
  return disk.volid;
}

/** A disk or mount point that is a volume of a storage; undefined for any other value. */
function diskOf(
  kind: GuestKind,
  key: string,
  value: string,
): { readonly volid: string; readonly options: ReadonlyMap<string, string> } | undefined {
  const disk = kind === "lxc" ? /^(?:rootfs|mp[0-9]+)$/ : /^(?:ide|sata|scsi|virtio|efidisk|tpmstate)[0-9]+$/;
  if (!disk.test(key)) return undefined;
  const [first = "", ...rest] = value.split(",");
  const options = new Map([first, ...rest].map((option) => pair(option, "=")));
  const volid = options.get("file") ?? options.get("volume") ?? first;
  return /^[^/=]+:./.test(volid) ? { volid, options } : undefined;
}

/** `key: value` lines; comments and what is malformed are left out. */
function valuesOf(text: string): Map<string, string> {
  return new Map(
    text
      .split("\n")
      .filter((line) => /^[a-z][a-z0-9_-]*:/i.test(line))
      .map((line) => pair(line, ":")),
  );
}

function pair(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ""] : [text.slice(0, at).trim(), text.slice(at + 1).trim()];
}
