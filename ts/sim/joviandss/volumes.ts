// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";
import { listed } from "./lists.js";
import { volumeAt } from "./lookup.js";
import { refuse } from "./refusal.js";
import { madeShape, volumeShape } from "./shapes.js";
import {
  attachments,
  available,
  clonesOf,
  type Pool,
  reservation,
  type Snapshot,
  snapshotsOf,
  type Volume,
} from "./state.js";
import { changed, created, type Handler, ok, parsed, type World } from "./world.js";

const units = "KMGTP";
const blockSizes = [4, 8, 16, 32, 64, 128, 256, 512, 1024].map((kib) => kib * 1024);

/** Bytes, as a number or as text with a suffix such as `16K`. */
const bytes = z
  .union([z.number().int().positive(), z.string().regex(/^[1-9][0-9]{0,17}[KMGTP]?$/)])
  .transform((value) => {
    if (typeof value === "number") return value;
    const unit = units.indexOf(value.slice(-1));
    return unit < 0 ? Number(value) : Number(value.slice(0, -1)) * 1024 ** (unit + 1);
  });

export const objectName = z.string().regex(/^[A-Za-z0-9_-]{1,256}$/);
const properties = z.record(z.string(), z.union([z.string(), z.number()]).transform(String)).default({});

const createBody = z.strictObject({
  name: objectName,
  size: bytes,
  sparse: z.boolean().default(false),
  blocksize: bytes.default(16_384).refine((size) => blockSizes.includes(size), "not a block size"),
  properties,
  create_parents: z.boolean().default(false),
});

const updateBody = z.strictObject({
  size: bytes.optional(),
  name: objectName.optional(),
  provisioning: z.enum(["thin", "thick"]).optional(),
});

const propertyBody = z.strictObject({ property_name: z.string(), property_value: z.string() });

export const deleteBody = z.strictObject({
  recursively_children: z.boolean().default(false),
  recursively_dependents: z.boolean().default(false),
  force_umount: z.boolean().default(false),
});

/** A size that the array can have, or a refusal. */
function aligned({ behaviour }: World, size: number, blockSize: number): number {
  const rest = size % blockSize;
  if (rest === 0 || behaviour.unaligned === "accept") return size;
  if (behaviour.unaligned === "round-down" && size > rest) return size - rest;
  throw refuse.invalid(`size ${size} is not a multiple of volblocksize ${blockSize}`);
}

/** Refuses a name that a volume or dataset has. */
export function nameIsFree(pool: Pool, name: string): void {
  if (pool.volumes.has(name)) throw refuse.volumeExists(name);
  if (pool.datasets.has(name)) throw refuse.datasetExists(pool.name, name);
}

/** Refuses what the pool has no room for. */
export function room(pool: Pool, volsize: number, bytesMore = reservation(volsize)): void {
  if (bytesMore > available(pool)) throw refuse.noSpace(volsize, pool.name, available(pool));
}

/** A volume with a new identity, which is in no pool yet. */
export function freshVolume(
  world: World,
  given: Pick<Volume, "name" | "volsize" | "volblocksize" | "sparse" | "origin">,
): Volume {
  const { id, txg, guid, volumeId } = world.identity();
  return {
    ...given,
    id,
    written: 0,
    created: world.now(),
    createtxg: txg,
    guid,
    volumeId,
    properties: new Map(),
    before: undefined,
  };
}

export const volumeList: Handler = (world, ask) =>
  listed(world, ask, ask.pool.volumes.values(), (volume) => volumeShape(world, ask.pool, volume));

export const volumeGet: Handler = (world, ask) => ok(volumeShape(world, ask.pool, volumeAt(world, ask)));

export const volumeCreate: Handler = async (world, ask) => {
  const { pool } = ask;
  const { name, size, sparse, blocksize, properties: given } = parsed(world, createBody, ask.body);
  nameIsFree(pool, name);
  const volsize = aligned(world, size, blocksize);
  if (!sparse) room(pool, volsize);
  const volume = freshVolume(world, { name, volsize, volblocksize: blocksize, sparse, origin: undefined });
  for (const [key, value] of Object.entries(given)) volume.properties.set(key, value);
  await world.files?.create(volume.id, volsize);
  pool.volumes.set(name, volume);
  return created(world, madeShape(pool, volume));
};

export const volumeUpdate: Handler = async (world, ask) => {
  const { pool } = ask;
  const volume = volumeAt(world, ask);
  const { size, name, provisioning } = parsed(world, updateBody, ask.body);
  if (size !== undefined) await resize(world, pool, volume, size);
  if (provisioning !== undefined) {
    if (provisioning === "thick" && volume.sparse) room(pool, volume.volsize);
    volume.sparse = provisioning === "thin";
  }
  if (name !== undefined && name !== volume.name) rename(world, pool, volume, name);
  return size === undefined ? changed(world) : { status: 201, data: null };
};

async function resize(world: World, pool: Pool, volume: Volume, size: number): Promise<void> {
  const volsize = aligned(world, size, volume.volblocksize);
  if (volsize < volume.volsize) throw refuse.invalid(`New zvol size(${size}) is less than current size`);
  if (volsize === volume.volsize) return;
  if (!volume.sparse) room(pool, volsize, reservation(volsize) - reservation(volume.volsize));
  await world.files?.resize(volume.id, volsize);
  const lag = world.behaviour.resizeLagMs;
  if (lag > 0) volume.before = { volsize: volume.volsize, until: world.now() + lag };
  volume.volsize = volsize;
  for (const { target } of attachments(pool, volume)) world.touched(pool, target);
}

function rename(world: World, pool: Pool, volume: Volume, name: string): void {
  nameIsFree(pool, name);
  const attached = attachments(pool, volume);
  if (attached.length > 0 && world.behaviour.renameAttached === "config-clash") throw refuse.configClash();
  const lag = world.behaviour.renameLagMs;
  if (lag > 0) volume.before = { name: volume.name, until: world.now() + lag };
  pool.volumes.delete(volume.name);
  volume.name = name;
  pool.volumes.set(name, volume);
  for (const { target, lun } of attached) {
    lun.name = name;
    world.touched(pool, target);
  }
}

export const propertySet: Handler = async (world, ask) => {
  const volume = volumeAt(world, ask);
  const { property_name: name, property_value: value } = parsed(world, propertyBody, ask.body);
  if (name === "volsize") await resize(world, ask.pool, volume, Number(value));
  else volume.properties.set(name, value);
  for (const { target } of attachments(ask.pool, volume)) world.touched(ask.pool, target);
  return changed(world);
};

export const propertyList: Handler = (world, ask) => {
  const shape = volumeShape(world, ask.pool, volumeAt(world, ask));
  return ok(Object.entries(shape).map(([name, value]) => ({ name, value })));
};

export const volumeDelete: Handler = async (world, ask) => {
  const volume = volumeAt(world, ask);
  const flags = parsed(world, deleteBody, ask.body);
  await destroyVolume(world, ask.pool, volume, flags);
  return changed(world);
};

/** What is refused is refused before anything is destroyed. */
export async function destroyVolume(
  world: World,
  pool: Pool,
  volume: Volume,
  flags: z.output<typeof deleteBody>,
): Promise<void> {
  const snapshots = snapshotsOf(pool, volume);
  const clones = snapshots.flatMap((snapshot) => clonesOf(pool, snapshot));
  const recursive = flags.recursively_children || flags.recursively_dependents;
  if (snapshots.length > 0 && !recursive)
    throw refuse.hasSnapshots(
      pool.name,
      volume.name,
      snapshots.map(({ name }) => name),
    );
  if (clones.length > 0 && !flags.recursively_dependents) throw refuse.hasClones(world.behaviour);
  if (attachments(pool, volume).length > 0 && !flags.force_umount) {
    const { deleteAttached } = world.behaviour;
    if (deleteAttached === "conflict") throw refuse.attached(pool.name, volume.name);
    if (deleteAttached === "busy") throw refuse.busy(pool.name, volume.name);
    if (deleteAttached === "config-clash") throw refuse.configClash();
  }
  for (const clone of clones) await destroyVolume(world, pool, clone, flags);
  for (const snapshot of snapshots) await removeSnapshot(world, pool, snapshot);
  pool.volumes.delete(volume.name);
  // Its LUN stays: an orphan.
  for (const { target } of attachments(pool, volume)) world.touched(pool, target);
  await world.files?.remove(volume.id);
}

export async function removeSnapshot(world: World, pool: Pool, snapshot: Snapshot): Promise<void> {
  pool.snapshots.delete(snapshot);
  await world.files?.remove(snapshot.id);
}
