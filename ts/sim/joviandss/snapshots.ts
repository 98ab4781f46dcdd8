// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";
import { listed } from "./lists.js";
import { snapshotAt, volumeAt } from "./lookup.js";
import { refuse } from "./refusal.js";
import { madeShape, snapshotRow, snapshotShape } from "./shapes.js";
import { attachments, clonesOf, type Pool, type Snapshot, snapshotsOf, type Volume } from "./state.js";
import {
  deleteBody,
  destroyVolume,
  freshVolume,
  nameIsFree,
  objectName,
  removeSnapshot,
  room,
} from "./volumes.js";
import { type Ask, changed, created, type Handler, ok, parsed, type World } from "./world.js";

const createBody = z.strictObject({
  snapshot_name: objectName,
  recursive: z.boolean().default(false),
  properties: z.record(z.string(), z.unknown()).default({}),
});

const cloneBody = z.strictObject({
  name: objectName,
  snapshot: objectName,
  sparse: z.boolean().default(false),
  readonly: z.boolean().default(false),
  properties: z.record(z.string(), z.unknown()).default({}),
});

export const snapshotList: Handler = (world, ask) =>
  listed(world, ask, snapshotsOf(ask.pool, volumeAt(world, ask)), (snapshot) =>
    snapshotRow(world, ask.pool, snapshot),
  );

export const poolSnapshotList: Handler = (world, ask) =>
  listed(world, ask, ask.pool.snapshots, (snapshot) => ({
    volume: snapshot.volume.name,
    ...snapshotRow(world, ask.pool, snapshot),
  }));

export const snapshotGet: Handler = (world, ask) =>
  ok(snapshotShape(world, ask.pool, snapshotAt(world, ask)));

export const snapshotCreate: Handler = async (world, ask) => {
  const { pool } = ask;
  const volume = volumeAt(world, ask);
  const { snapshot_name: name } = parsed(world, createBody, ask.body);
  if (snapshotsOf(pool, volume).some((snapshot) => snapshot.name === name))
    throw refuse.snapshotExists(pool.name, volume.name, name);
  await addSnapshot(world, pool, volume, name);
  return created(world, { name });
};

/** Makes a snapshot, also one that the array's own scheduler would make. */
export async function addSnapshot(world: World, pool: Pool, volume: Volume, name: string): Promise<Snapshot> {
  const { id, txg, guid } = world.identity();
  const { volsize, written } = volume;
  const snapshot = { id, name, volume, volsize, written: 0, created: world.now(), createtxg: txg, guid };
  await world.files?.create(id, volsize, volume.id);
  pool.snapshots.add(snapshot);
  // What the volume held is the snapshot's now.
  snapshot.written = written;
  volume.written = 0;
  return snapshot;
}

export const snapshotDelete: Handler = async (world, ask) => {
  const { pool } = ask;
  const snapshot = snapshotAt(world, ask);
  const flags = parsed(world, deleteBody, ask.body);
  const clones = clonesOf(pool, snapshot);
  if (clones.length > 0 && !flags.recursively_dependents)
    throw refuse.snapshotHasClones(
      pool.name,
      snapshot.volume.name,
      snapshot.name,
      clones.map(({ name }) => name),
    );
  for (const clone of clones) await destroyVolume(world, pool, clone, flags);
  await removeSnapshot(world, pool, snapshot);
  return changed(world);
};

export const cloneList: Handler = (world, ask) =>
  ok(
    clonesOf(ask.pool, snapshotAt(world, ask)).map(({ name }) => ({
      name,
      full_name: `${ask.pool.name}/${name}`,
      is_clone: true,
    })),
  );

export const cloneCreate: Handler = async (world, ask) => {
  const { pool } = ask;
  const volume = volumeAt(world, ask);
  const { name, snapshot: from, sparse, readonly } = parsed(world, cloneBody, ask.body);
  const origin = snapshotAt(world, { ...ask, at: { ...ask.at, snapshot: from } });
  nameIsFree(pool, name);
  if (!sparse) room(pool, origin.volsize);
  const { volblocksize } = volume;
  const clone = freshVolume(world, { name, volsize: origin.volsize, volblocksize, sparse, origin });
  if (readonly) clone.properties.set("readonly", "on");
  await world.files?.create(clone.id, origin.volsize, origin.id);
  pool.volumes.set(name, clone);
  return created(world, madeShape(pool, clone));
};

function cloneAt(world: World, ask: Ask): Volume {
  const name = ask.at["clone"] ?? "";
  const found = clonesOf(ask.pool, snapshotAt(world, ask)).find((clone) => clone.name === name);
  if (!found) throw refuse.noShare("Clone", name);
  return found;
}

export const cloneDelete: Handler = async (world, ask) => {
  await destroyVolume(world, ask.pool, cloneAt(world, ask), parsed(world, deleteBody, ask.body));
  return changed(world);
};

/** As ZFS does it: the snapshots up to the origin become the clone's, and the volume becomes a clone of its clone. */
export const promote: Handler = (world, ask) => {
  const clone = cloneAt(world, ask);
  const origin = snapshotAt(world, ask);
  const { volume } = origin;
  const moving = snapshotsOf(ask.pool, volume).filter(({ createtxg }) => createtxg <= origin.createtxg);
  const own = new Set(snapshotsOf(ask.pool, clone).map(({ name }) => name));
  const taken = moving.find(({ name }) => own.has(name));
  if (taken) throw refuse.snapshotExists(ask.pool.name, clone.name, taken.name);
  for (const snapshot of moving) snapshot.volume = clone;
  clone.origin = volume.origin;
  volume.origin = origin;
  return ok(null);
};

function newerThan(pool: Pool, { volume, createtxg }: Snapshot): { snapshots: Snapshot[]; clones: Volume[] } {
  const snapshots = snapshotsOf(pool, volume).filter((snapshot) => snapshot.createtxg > createtxg);
  return { snapshots, clones: snapshots.flatMap((snapshot) => clonesOf(pool, snapshot)) };
}

export const rollbackCheck: Handler = (world, ask) => {
  const { snapshots, clones } = newerThan(ask.pool, snapshotAt(world, ask));
  return ok({ snapshots: snapshots.length, clones: clones.length });
};

export const rollback: Handler = async (world, ask) => {
  const { pool } = ask;
  const snapshot = snapshotAt(world, ask);
  const { volume, volsize } = snapshot;
  const { snapshots, clones } = newerThan(pool, snapshot);
  if (clones.length > 0) throw refuse.rollbackClones(pool.name, volume.name, snapshot.name);
  for (const newer of snapshots) await removeSnapshot(world, pool, newer);
  await world.files?.restore(volume.id, snapshot.id, volsize);
  volume.volsize = volsize;
  volume.before = undefined;
  for (const { target, lun } of attachments(pool, volume)) {
    lun.revision++;
    world.touched(pool, target);
  }
  return changed(world);
};
