// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";
import { listed } from "./lists.js";
import { refuse } from "./refusal.js";
import type { Dataset, Share } from "./state.js";
import { nameIsFree, objectName } from "./volumes.js";
import { type Ask, changed, created, type Handler, ok, parsed, type World } from "./world.js";

const amount = z.union([z.number().int().min(0), z.string().regex(/^[0-9]{1,18}$/)]).transform(Number);
const createBody = z.strictObject({ name: objectName, quota: amount, reservation: amount.optional() });
const updateBody = z.strictObject({ quota: amount });
const nameBody = z.strictObject({ name: objectName });
const cloneBody = z.looseObject({ name: objectName });
const shareBody = z.looseObject({ name: z.string(), path: z.string(), nfs: z.unknown().optional() });

type DatasetSnapshot = Dataset["snapshots"] extends Map<string, infer S> ? S : never;

function datasetAt(world: World, { pool, at }: Ask): Dataset {
  const name = at["dataset"] ?? "";
  const found = pool.datasets.get(name);
  if (!found) throw refuse.noVolume(pool.name, name, world.behaviour);
  return found;
}

function snapshotAt(world: World, ask: Ask): { dataset: Dataset; snapshot: DatasetSnapshot } {
  const dataset = datasetAt(world, ask);
  const name = ask.at["snapshot"] ?? "";
  const snapshot = dataset.snapshots.get(name);
  if (!snapshot) throw refuse.noSnapshot(ask.pool.name, dataset.name, name, world.behaviour);
  return { dataset, snapshot };
}

function clonesOf({ pool }: Ask, dataset: Dataset, snapshot?: DatasetSnapshot): Dataset[] {
  const origin = `${dataset.name}@${snapshot?.name ?? ""}`;
  return [...pool.datasets.values()].filter((one) =>
    snapshot ? one.origin === origin : one.origin?.startsWith(`${dataset.name}@`),
  );
}

function datasetShape({ pool }: Ask, { name, quota, guid, created: at, origin }: Dataset) {
  return {
    name,
    full_name: `${pool.name}/${name}`,
    quota: String(quota),
    guid,
    creation: String(Math.floor(at / 1000)),
    origin: origin === undefined ? null : `${pool.name}/${origin}`,
    is_clone: origin !== undefined,
  };
}

function add(world: World, ask: Ask, name: string, quota: number, origin?: string): Dataset {
  nameIsFree(ask.pool, name);
  const { guid } = world.identity();
  const dataset = { name, quota, guid, created: world.now(), origin, snapshots: new Map() };
  ask.pool.datasets.set(name, dataset);
  return dataset;
}

export const datasetList: Handler = (world, ask) =>
  listed(world, ask, ask.pool.datasets.values(), (dataset) => datasetShape(ask, dataset));

export const datasetGet: Handler = (world, ask) => ok(datasetShape(ask, datasetAt(world, ask)));

export const datasetCreate: Handler = (world, ask) => {
  const { name, quota } = parsed(world, createBody, ask.body);
  return created(world, datasetShape(ask, add(world, ask, name, quota)));
};

export const datasetUpdate: Handler = (world, ask) => {
  const dataset = datasetAt(world, ask);
  dataset.quota = parsed(world, updateBody, ask.body).quota;
  return { status: 201, data: null };
};

export const datasetDelete: Handler = (world, ask) => {
  const dataset = datasetAt(world, ask);
  if (clonesOf(ask, dataset).length > 0) throw refuse.hasClones(world.behaviour);
  ask.pool.datasets.delete(dataset.name);
  return changed(world);
};

export const datasetSnapshotList: Handler = (world, ask) =>
  listed(world, ask, datasetAt(world, ask).snapshots.values(), ({ name, guid, created: at }) => ({
    name,
    properties: { guid, creation: Math.floor(at / 1000) },
  }));

export const datasetSnapshotGet: Handler = (world, ask) => {
  const { name, guid } = snapshotAt(world, ask).snapshot;
  return ok({ name, guid });
};

export const datasetSnapshotCreate: Handler = (world, ask) => {
  const { snapshots, name: dataset } = datasetAt(world, ask);
  const { name } = parsed(world, nameBody, ask.body);
  if (snapshots.has(name)) throw refuse.snapshotExists(ask.pool.name, dataset, name);
  snapshots.set(name, { name, guid: world.identity().guid, created: world.now() });
  return created(world, { name });
};

export const datasetSnapshotDelete: Handler = (world, ask) => {
  const { dataset, snapshot } = snapshotAt(world, ask);
  const clones = clonesOf(ask, dataset, snapshot).map(({ name }) => name);
  if (clones.length > 0) throw refuse.snapshotHasClones(ask.pool.name, dataset.name, snapshot.name, clones);
  dataset.snapshots.delete(snapshot.name);
  return changed(world);
};

export const datasetCloneList: Handler = (world, ask) => {
  const { dataset, snapshot } = snapshotAt(world, ask);
  return ok(clonesOf(ask, dataset, snapshot).map((clone) => datasetShape(ask, clone)));
};

export const datasetCloneCreate: Handler = (world, ask) => {
  const { dataset, snapshot } = snapshotAt(world, ask);
  const { name } = parsed(world, cloneBody, ask.body);
  return created(
    world,
    datasetShape(ask, add(world, ask, name, dataset.quota, `${dataset.name}@${snapshot.name}`)),
  );
};

function cloneAt(world: World, ask: Ask): Dataset {
  const { dataset, snapshot } = snapshotAt(world, ask);
  const name = ask.at["clone"] ?? "";
  const found = clonesOf(ask, dataset, snapshot).find((clone) => clone.name === name);
  if (!found) throw refuse.noShare("Clone", name);
  return found;
}

export const datasetCloneGet: Handler = (world, ask) => ok(datasetShape(ask, cloneAt(world, ask)));

export const datasetCloneDelete: Handler = (world, ask) => {
  const { name } = cloneAt(world, ask);
  // A share holds it.
  for (const { path, goneAt = Number.POSITIVE_INFINITY } of world.state.shares.values())
    if (path === `${ask.pool.name}/${name}` && goneAt > world.now()) throw refuse.busy(ask.pool.name, name);
  ask.pool.datasets.delete(name);
  return changed(world);
};

function shareAt(world: World, { at }: Ask): Share {
  const name = at["share"] ?? "";
  const found = world.state.shares.get(name);
  if (found && (found.goneAt ?? Number.POSITIVE_INFINITY) <= world.now()) world.state.shares.delete(name);
  if (!found || !world.state.shares.has(name)) throw refuse.noShare("Share", name);
  return found;
}

function shareShape(world: World, { name, path, nfs, created: at }: Share) {
  const late = world.now() < at + world.behaviour.shareLagMs;
  return { name, path, active: true, nfs, ...(late ? {} : { real_path: `/Pools/${path}` }) };
}

export const shareList: Handler = (world, ask) =>
  listed(world, ask, world.state.shares.values(), (share) => shareShape(world, share));

export const shareGet: Handler = (world, ask) => ok(shareShape(world, shareAt(world, ask)));

export const shareCreate: Handler = (world, ask) => {
  const { name, path, nfs } = parsed(world, shareBody, ask.body);
  const other = world.state.shares.get(name);
  if (other && (other.goneAt ?? Number.POSITIVE_INFINITY) > world.now()) throw refuse.shareExists(name);
  const share: Share = { name, path, nfs, created: world.now(), goneAt: undefined };
  world.state.shares.set(name, share);
  return created(world, shareShape(world, share));
};

export const shareDelete: Handler = (world, ask) => {
  shareAt(world, ask).goneAt ??= world.now() + world.behaviour.shareLagMs;
  return changed(world);
};
