// SPDX-License-Identifier: AGPL-3.0-or-later
import * as logins from "./logins.js";
import * as nas from "./nas.js";
import * as pools from "./pools.js";
import * as snapshots from "./snapshots.js";
import * as targets from "./targets.js";
import * as volumes from "./volumes.js";
import type { Handler } from "./world.js";

export type Verb = "GET" | "POST" | "PUT" | "DELETE";

/** One request that the array knows. */
export interface Route {
  /** Name in the journal and in orders of faults. */
  readonly name: string;
  readonly verb: Verb;
  readonly pattern: RegExp;
  readonly run: Handler;
  /** Changes the configuration of targets, which the array does one at a time. */
  readonly editsTargets: boolean;
}

const volume = "pools/:pool/volumes/:volume";
const snapshot = `${volume}/snapshots/:snapshot`;
const targetsOf = "pools/:pool/san/iscsi/targets";
const target = `${targetsOf}/:target`;
const datasets = "pools/:pool/nas-volumes";
const dataset = `${datasets}/:dataset`;
const datasetSnapshot = `${dataset}/snapshots/:snapshot`;

/** In the order in which they are tried: fixed words before names. */
const table: readonly (readonly [Verb, string, Record<string, Handler>])[] = [
  ["GET", "conn_test", { connTest: pools.connTest }],
  ["GET", "pools", { poolList: pools.poolList }],
  ["GET", "pools/:pool", { poolGet: pools.poolGet }],
  ["GET", "pools/:pool/vips", { vipList: pools.vipList }],
  ["GET", "pools/:pool/volumes", { volumeList: volumes.volumeList }],
  ["POST", "pools/:pool/volumes", { volumeCreate: volumes.volumeCreate }],
  ["GET", "pools/:pool/volumes/snapshots", { poolSnapshotList: snapshots.poolSnapshotList }],
  ["GET", volume, { volumeGet: volumes.volumeGet }],
  ["PUT", volume, { volumeUpdate: volumes.volumeUpdate }],
  ["DELETE", volume, { volumeDelete: volumes.volumeDelete }],
  ["GET", `${volume}/properties`, { propertyList: volumes.propertyList }],
  ["PUT", `${volume}/properties`, { propertySet: volumes.propertySet }],
  ["POST", `${volume}/clone`, { cloneCreate: snapshots.cloneCreate }],
  ["GET", `${volume}/snapshots`, { snapshotList: snapshots.snapshotList }],
  ["POST", `${volume}/snapshots`, { snapshotCreate: snapshots.snapshotCreate }],
  ["GET", snapshot, { snapshotGet: snapshots.snapshotGet }],
  ["DELETE", snapshot, { snapshotDelete: snapshots.snapshotDelete }],
  ["GET", `${snapshot}/clones`, { cloneList: snapshots.cloneList }],
  ["DELETE", `${snapshot}/clones/:clone`, { cloneDelete: snapshots.cloneDelete }],
  ["POST", `${snapshot}/clones/:clone/promote`, { promote: snapshots.promote }],
  ["GET", `${snapshot}/rollback`, { rollbackCheck: snapshots.rollbackCheck }],
  ["POST", `${snapshot}/rollback`, { rollback: snapshots.rollback }],
  ["GET", "san/iscsi/luns", { lunSearch: targets.lunSearch }],
  ["GET", targetsOf, { targetList: targets.targetList }],
  ["POST", targetsOf, { targetCreate: targets.targetCreate }],
  ["GET", `${targetsOf}/sessions`, { poolSessionList: logins.poolSessionList }],
  ["GET", target, { targetGet: targets.targetGet }],
  ["PUT", target, { targetUpdate: targets.targetUpdate }],
  ["DELETE", target, { targetDelete: targets.targetDelete }],
  ["GET", `${target}/luns`, { lunList: targets.lunList }],
  ["POST", `${target}/luns`, { lunAttach: targets.lunAttach }],
  ["GET", `${target}/luns/:volume`, { lunGet: targets.lunGet }],
  ["DELETE", `${target}/luns/:volume`, { lunDetach: targets.lunDetach }],
  ["GET", `${target}/incoming-users`, { userList: logins.userList }],
  ["POST", `${target}/incoming-users`, { userAdd: logins.userAdd }],
  ["DELETE", `${target}/incoming-users/:user`, { userDelete: logins.userDelete }],
  ["GET", `${target}/sessions`, { sessionList: logins.sessionList }],
  ["GET", datasets, { datasetList: nas.datasetList }],
  ["POST", datasets, { datasetCreate: nas.datasetCreate }],
  ["GET", dataset, { datasetGet: nas.datasetGet }],
  ["PUT", dataset, { datasetUpdate: nas.datasetUpdate }],
  ["DELETE", dataset, { datasetDelete: nas.datasetDelete }],
  ["GET", `${dataset}/snapshots`, { datasetSnapshotList: nas.datasetSnapshotList }],
  ["POST", `${dataset}/snapshots`, { datasetSnapshotCreate: nas.datasetSnapshotCreate }],
  ["GET", datasetSnapshot, { datasetSnapshotGet: nas.datasetSnapshotGet }],
  ["DELETE", datasetSnapshot, { datasetSnapshotDelete: nas.datasetSnapshotDelete }],
  ["GET", `${datasetSnapshot}/clones`, { datasetCloneList: nas.datasetCloneList }],
  ["POST", `${datasetSnapshot}/clones`, { datasetCloneCreate: nas.datasetCloneCreate }],
  ["GET", `${datasetSnapshot}/clones/:clone`, { datasetCloneGet: nas.datasetCloneGet }],
  ["DELETE", `${datasetSnapshot}/clones/:clone`, { datasetCloneDelete: nas.datasetCloneDelete }],
  ["GET", "shares", { shareList: nas.shareList }],
  ["POST", "shares", { shareCreate: nas.shareCreate }],
  ["GET", "shares/:share", { shareGet: nas.shareGet }],
  ["DELETE", "shares/:share", { shareDelete: nas.shareDelete }],
];

export const routes: readonly Route[] = table.flatMap(([verb, path, handler]) =>
  Object.entries(handler).map(([name, run]) => ({
    name,
    verb,
    pattern: new RegExp(`^${path.replaceAll(/:([a-z]+)/g, "(?<$1>[^/]+)")}$`),
    run,
    editsTargets: verb !== "GET" && path.startsWith(targetsOf),
  })),
);

/** The route of a request and the names in its path. */
export function routeOf(
  verb: string,
  path: string,
): { route: Route; at: Record<string, string> } | undefined {
  for (const route of routes) {
    const match = route.verb === verb ? route.pattern.exec(path) : null;
    if (match) return { route, at: { ...match.groups } };
  }
  return undefined;
}
