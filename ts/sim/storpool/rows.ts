// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Behaviour } from "./behaviour.js";
import {
  type Attachment,
  type Client,
  listedName,
  type State,
  type StoredObject,
  type Template,
} from "./state.js";

/** Bytes of the objects a volume is cut into. */
const objectBytes = 32 * 1024 * 1024;

type Row = Record<string, unknown>;

/** A row of `VolumesList`, or of `SnapshotsList`, which has more members. */
export function objectRow(object: StoredObject, behaviour: Behaviour): Row {
  const row: Row = {
    id: object.id,
    name: listedName(object),
    globalId: object.globalId,
    parentName: object.parent ? listedName(object.parent) : "",
    templateName: object.template,
    size: object.size,
    replication: 3,
    placeAll: object.template,
    placeTail: object.template,
    placeHead: object.template,
    visibleVolumeId: object.id,
    objectsCount: Math.ceil(object.size / objectBytes),
    creationTimestamp: object.created,
    flags: 0,
    bw: "-",
    iops: "-",
    limitType: "total",
    reuseServer: false,
    tags: object.tags,
  };
  if (behaviour.snapshotFlag) row["snapshot"] = object.kind === "snapshot";
  if (object.kind === "snapshot") {
    Object.assign(row, {
      onVolume: object.onVolume,
      autoName: object.name === "" || object.name.includes("@"),
      bound: object.bound,
      deleted: object.deleted,
      transient: object.transient,
      targetDeleteDate: object.deleteDate,
      recoveringFromRemote: false,
      backup: false,
    });
  }
  return Object.assign(row, object.extra);
}

/** A row of `VolumeTemplatesList`. */
export function templateRow(template: Template): Row {
  return {
    id: template.id,
    name: template.name,
    parentName: "",
    placeAll: template.name,
    placeTail: template.name,
    placeHead: template.name,
    size: "-",
    replication: template.replication,
    bw: "-",
    iops: "-",
    limitType: "total",
    reuseServer: false,
  };
}

/** A row of `VolumeTemplatesStatus`. Sizes are bytes. */
export function templateStatusRow(template: Template, state: State): Row {
  const mine = [...state.objects.values()].filter((object) => object.template === template.name);
  const snapshots = mine.filter((object) => object.kind === "snapshot");
  const used = state.used(template.name);
  const free = Math.max(0, template.capacity - used);
  return {
    id: template.id,
    name: template.name,
    placeAll: template.name,
    placeTail: template.name,
    placeHead: template.name,
    replication: template.replication,
    volumesCount: mine.length - snapshots.length,
    snapshotsCount: snapshots.length,
    removingSnapshotsCount: snapshots.filter((object) => object.deleted).length,
    size: used,
    totalSize: mine.reduce((sum, object) => sum + object.size, 0),
    storedSize: used,
    onDiskSize: used * (template.replication === "-" ? 1 : template.replication),
    capacityPlaceAll: template.capacity,
    availablePlaceAll: free,
    stored: {
      capacity: template.capacity,
      free,
      placeAll: { capacity: template.capacity, free },
      placeTail: { capacity: template.capacity, free },
      placeHead: { capacity: template.capacity, free },
    },
  };
}

/** A row of `AttachmentsList`. */
export function attachmentRow({ object, client, rights, pos }: Attachment, behaviour: Behaviour): Row {
  const row: Row = {
    volume: listedName(object),
    globalId: object.globalId,
    snapshot: object.kind === "snapshot",
    client,
    rights,
    pos,
  };
  if (behaviour.attachmentTags) row["tags"] = object.tags;
  return row;
}

/** A row of `ClientsConfigDump`. */
export function clientRow(client: Client, state: State, delay = 0): Row {
  const current = client.generation >= state.generation;
  return {
    id: client.id,
    generation: state.generation,
    clientGeneration: client.generation,
    configStatus: client.status === "down" ? "down" : current ? "ok" : "updating",
    delay,
  };
}

/** A row of `VolumesSpace` or `SnapshotsSpace`. Bytes; snapshots are free of charge here. */
export function spaceRow(object: StoredObject): Row {
  const storedSize = object.kind === "volume" ? object.size : 0;
  return { name: listedName(object), globalId: object.globalId, storedSize, spaceUsed: storedSize * 3 };
}
