// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Lun, Pool, Snapshot, Target, Volume } from "./state.js";
import { available, clonesOf, reservation, snapshotsOf } from "./state.js";
import type { World } from "./world.js";

/** The identity that initiators see: the first sixteen digits of the volume's. */
export function scsiIdOf(volume: Volume): string {
  return volume.volumeId.slice(0, 16);
}

/** EUI-64 of a LUN: the first eight characters of its identity, in hexadecimal. */
export function euiOf(scsiId: string): string {
  return Buffer.from(scsiId.slice(0, 8), "ascii").toString("hex");
}

/** All properties of a volume. Sizes are decimal strings. */
export function volumeShape(world: World, pool: Pool, volume: Volume): Record<string, unknown> {
  const { name, volblocksize, sparse, written, created, createtxg, guid, volumeId, origin, properties } =
    volume;
  const { before } = volume;
  const late = before !== undefined && world.now() < before.until ? before : undefined;
  const volsize = late?.volsize ?? volume.volsize;
  const shownName = late?.name ?? name;
  const reserved = sparse ? 0 : reservation(volsize);
  const bySnapshots = snapshotsOf(pool, volume).reduce((sum, snapshot) => sum + snapshot.written, 0);
  const young = world.behaviour.idLagMs > 0 && world.now() < created + world.behaviour.idLagMs;
  return {
    name: shownName,
    full_name: `${pool.name}/${shownName}`,
    type: "volume",
    volsize: String(volsize),
    volblocksize: String(volblocksize),
    used: String(Math.max(reserved, written) + bySnapshots),
    referenced: String(written),
    available: String(available(pool) + reserved),
    refreservation: reserved === 0 ? null : String(reserved),
    usedbydataset: String(written),
    usedbysnapshots: String(bySnapshots),
    usedbyrefreservation: String(Math.max(0, reserved - written)),
    logicalused: String(written),
    written: String(written),
    creation: String(Math.floor(created / 1000)),
    createtxg: String(createtxg),
    guid,
    origin: origin ? fullName(pool, origin) : null,
    is_clone: origin !== undefined,
    clones: null,
    readonly: "off",
    compression: "lz4",
    sync: "always",
    dedup: "off",
    volmode: "default",
    checksum: "on",
    ...Object.fromEntries(properties),
    ...(young ? {} : { "san:volume_id": volumeId, default_scsi_id: scsiIdOf(volume) }),
  };
}

export function fullName(pool: Pool, { volume, name }: Snapshot): string {
  return `${pool.name}/${volume.name}@${name}`;
}

/** The answer to the making of a volume or clone. */
export function madeShape(pool: Pool, { name, origin }: Volume): Record<string, unknown> {
  return {
    origin: origin ? fullName(pool, origin) : null,
    is_clone: origin !== undefined,
    full_name: `${pool.name}/${name}`,
    name,
  };
}

/** A row of a list of snapshots, in the form that the switch says. */
export function snapshotRow(world: World, pool: Pool, snapshot: Snapshot): Record<string, unknown> {
  const { name, volume, guid, created } = snapshot;
  const { snapshotRows, epoch } = world.behaviour;
  if (snapshotRows === "flat") {
    return { name, ...flat(pool, snapshot), creation: dateOf(world, created, false) };
  }
  const seconds = Math.floor(created / 1000);
  const creation = epoch === "number" ? seconds : String(seconds);
  return { name, volume: volume.name, properties: { guid, creation } };
}

/** All properties of a snapshot. */
export function snapshotShape(world: World, pool: Pool, snapshot: Snapshot): Record<string, unknown> {
  const { volume, createtxg, created } = snapshot;
  return {
    name: snapshot.name,
    ...flat(pool, snapshot),
    createtxg: String(createtxg),
    "san:volume_id": volume.volumeId,
    ...(world.behaviour.snapshotWithoutCreation ? {} : { creation: dateOf(world, created, true) }),
  };
}

function flat(pool: Pool, snapshot: Snapshot): Record<string, unknown> {
  const clones = clonesOf(pool, snapshot).map((clone) => `${pool.name}/${clone.name}`);
  return {
    volsize: String(snapshot.volsize),
    guid: snapshot.guid,
    ...(clones.length > 0 ? { clones: clones.join(",") } : {}),
    used: "0",
    referenced: String(snapshot.written),
    defer_destroy: "off",
    userrefs: "0",
  };
}

/** A date in the array's own time, with or without leading zeros. */
function dateOf(world: World, at: number, padded: boolean): string {
  const local = new Date(at + world.behaviour.timeZoneMinutes * 60_000).toISOString();
  const [date = "", time = ""] = local.slice(0, 19).split("T");
  if (padded) return `${date} ${time}`;
  return `${date.split("-").map(Number).join("-")} ${time.split(":").map(Number).join(":")}`;
}

export function targetShape(
  { behaviour, state }: World,
  pool: Pool,
  target: Target,
): Record<string, unknown> {
  const { name, active, incomingUsersActive, portals } = target;
  const elsewhere = [...state.pools.values()].some((other) => other !== pool && other.targets.has(name));
  return {
    name,
    active,
    conflicted: elsewhere,
    incoming_users_active: incomingUsersActive,
    outgoing_user: null,
    allow_ip: [],
    deny_ip: [],
    ...(behaviour.vipAllowedPortals
      ? { vip_allowed_portals: { enabled: portals.enabled, assigned_vips: portals.assigned } }
      : {}),
  };
}

export function lunShape(world: World, lun: Lun): Record<string, unknown> {
  const { volume } = lun;
  const young = world.now() < volume.created + world.behaviour.idLagMs;
  const scsiId = lun.scsiId ?? scsiIdOf(volume);
  return {
    name: lun.name,
    lun: lun.lun,
    mode: lun.mode,
    block_size: lun.blockSize,
    ...(young ? {} : { scsi_id: scsiId, eui: euiOf(scsiId) }),
    device_handler: "vdisk_blockio",
    prod_id: "Storage",
    thin_provisioned: volume.sparse,
  };
}
