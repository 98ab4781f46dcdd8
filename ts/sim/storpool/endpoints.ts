// SPDX-License-Identifier: AGPL-3.0-or-later
import * as queries from "./queries.js";
import { volumesReassign, volumesReassignWait } from "./reassign.js";
import { snapshotDelete, snapshotUpdate, volumeSnapshot, volumesGroupSnapshot } from "./snapshots.js";
import {
  snapshotRebase,
  volumeCreate,
  volumeDelete,
  volumeFreeze,
  volumeRebase,
  volumeRevert,
  volumeUpdate,
} from "./volumes.js";
import type { Command, Query } from "./world.js";

/** One request: queries are GET, commands POST; `argument` is the part of the path behind the name. */
export type Endpoint =
  | { readonly verb: "GET"; readonly argument: boolean; readonly run: Query }
  | { readonly verb: "POST"; readonly argument: boolean; readonly run: Command };

const get = (run: Query): Endpoint => ({ verb: "GET", argument: false, run });
const getOne = (run: Query): Endpoint => ({ verb: "GET", argument: true, run });
const post = (run: Command): Endpoint => ({ verb: "POST", argument: false, run });
const postOne = (run: Command): Endpoint => ({ verb: "POST", argument: true, run });

/** Every request the simulator knows, by name. */
export const endpoints: ReadonlyMap<string, Endpoint> = new Map(
  Object.entries({
    ServicesList: get(queries.servicesList),
    VolumeTemplateDescribe: getOne(queries.templateDescribe),
    VolumeTemplatesList: get(queries.templatesList),
    VolumeTemplatesStatus: get(queries.templatesStatus),
    VolumesAndSnapshotsList: get(queries.volumesAndSnapshotsList),
    VolumesList: get(queries.volumesList),
    SnapshotsList: get(queries.snapshotsList),
    Volume: getOne(queries.volume),
    Snapshot: getOne(queries.snapshot),
    VolumeDescribe: getOne(queries.volumeDescribe),
    VolumeGetInfo: getOne(queries.volumeGetInfo),
    SnapshotGetInfo: getOne(queries.snapshotGetInfo),
    VolumeListSnapshots: getOne(queries.volumeListSnapshots),
    AttachmentsList: get(queries.attachmentsList),
    ClientConfigWait: getOne(queries.clientConfigWait),
    ClientsConfigDump: get(queries.clientsConfigDump),
    VolumesSpace: get(queries.volumesSpace),
    SnapshotsSpace: get(queries.snapshotsSpace),
    VolumeCreate: post(volumeCreate),
    VolumeUpdate: postOne(volumeUpdate),
    VolumeDelete: postOne(volumeDelete),
    VolumeSnapshot: postOne(volumeSnapshot),
    VolumeRevert: postOne(volumeRevert),
    VolumeFreeze: postOne(volumeFreeze),
    VolumeRebase: postOne(volumeRebase),
    VolumesGroupSnapshot: post(volumesGroupSnapshot),
    VolumesReassign: post(volumesReassign),
    VolumesReassignWait: post(volumesReassignWait),
    SnapshotUpdate: postOne(snapshotUpdate),
    SnapshotDelete: postOne(snapshotDelete),
    SnapshotRebase: postOne(snapshotRebase),
  }),
);
