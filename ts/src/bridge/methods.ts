// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";
import type { Volume } from "../arrays/contract.js";
import { wireSize, wireSizeOut } from "../common/size.js";
import { allocImage, findFreeDiskname } from "../plugin/alloc.js";
import { activateStorage, checkConnection, goOnInSilence, storageCapacity } from "../plugin/availability.js";
import { cloneImage, createBase, renameVolume } from "../plugin/copy.js";
import { addSection, removeSection, updateSection } from "../plugin/section.js";
import {
  rollbackIsPossible,
  volumeSnapshot,
  volumeSnapshotDelete,
  volumeSnapshotInfo,
  volumeSnapshotRollback,
} from "../plugin/snapshot.js";
import type { Storage } from "../plugin/storage.js";
import { volumeExport, volumeImport, volumeImportAbort, volumeImportCommit } from "../plugin/stream.js";
import { leftovers, removeLeftover } from "../plugin/sweep.js";
import {
  activateVolume,
  deactivateVolume,
  freeImage,
  listImages,
  volumePath,
  volumeResize,
  volumeSizeInfo,
} from "../plugin/volume.js";
import { type Method, method } from "./method.js";

/** Deadlines by kind of call, in milliseconds; a client may ask for others. */
const quick = 4_000;
const query = 10_000;
const change = 60_000;
const slow = 600_000;

const nothing = z.object({});
/** Perl may take digits for a number. */
const secrets = z
  .record(z.string(), z.union([z.string(), z.number().transform(String), z.null()]))
  .default({});
const nullResult = z.null();
const vmid = z.coerce.number().int().min(100).max(999_999_999);
const format = z.enum(["raw", "subvol"]);
const volname = z.string().min(1).max(1024);
/** PVE's own snapshots (`__migration__`) begin with underscores, those of users with a letter. */
const snap = z
  .string()
  .max(128)
  .regex(/^[A-Za-z_][A-Za-z0-9_-]*$/, "a snapshot name");
const optionalSnap = snap.nullish().transform((value) => value ?? null);
const flag = z
  .unknown()
  .transform(
    (value) =>
      !(
        value === undefined ||
        value === null ||
        value === false ||
        value === 0 ||
        value === "0" ||
        value === ""
      ),
  );
const volumeArgs = z.object({ volname });
const volumeSnapArgs = z.object({ volname, snap: optionalSnap });
const snapshotArgs = z.object({ volname, snap, running: flag.optional() });
const volnameResult = z.object({ volname: z.string() });

/** The guest that owns the named volume. */
const owner = (storage: Storage, args: { volname: string }) => [storage.names.parse(args.volname).vmid];
/** The owner and the guest that the result will belong to. */
const ownerAndTarget = (storage: Storage, args: { volname: string; vmid: number }) => [
  storage.names.parse(args.volname).vmid,
  args.vmid,
];

const volumeFields = {
  vtype: z.enum(["images", "iso"]),
  format,
  size: wireSizeOut,
  used: wireSizeOut.optional(),
  parent: z.string().optional(),
  ctime: z.number().int().optional(),
};

function describe({ ref, ...rest }: Volume) {
  const { volname, vmid, vtype, format } = ref;
  return { volname, vmid, vtype, format, ...rest };
}

/** The methods of the bridge, under the names that PVE gives them. `ping` is answered by the server itself. */
export const methods: Readonly<Record<string, Method>> = {
  on_add_hook: method({
    args: z.object({ sensitive: secrets }),
    result: nullResult,
    deadlineMs: query,
    run: async (storage, args, { ctx }) => {
      await addSection(storage, ctx, args);
      return null;
    },
  }),
  on_update_hook: method({
    args: z.object({
      update: z.record(z.string(), z.unknown()).default({}),
      delete: z.array(z.string()).default([]),
      sensitive: secrets,
    }),
    result: nullResult,
    deadlineMs: query,
    run: async (storage, args) => {
      await updateSection(storage, args);
      return null;
    },
  }),
  on_delete_hook: method({
    args: nothing,
    result: nullResult,
    deadlineMs: query,
    run: async (storage) => {
      await removeSection(storage);
      return null;
    },
  }),
  check_connection: method({
    args: nothing,
    result: z.boolean(),
    deadlineMs: quick,
    run: async (storage, _args, { ctx }) => {
      await checkConnection(storage, ctx);
      return true;
    },
    unanswered: (storage, error, log) => {
      goOnInSilence(storage, error, log);
      return true;
    },
  }),
  activate_storage: method({
    args: nothing,
    result: nullResult,
    deadlineMs: quick,
    run: async (storage, _args, { ctx }) => {
      await activateStorage(storage, ctx);
      return null;
    },
    unanswered: (storage, error, log) => {
      goOnInSilence(storage, error, log);
      return null;
    },
  }),
  get_identity: method({
    args: nothing,
    result: z.string(),
    deadlineMs: query,
    run: (storage, _args, { ctx }) => storage.driver.identity(ctx),
  }),
  status: method({
    args: nothing,
    result: z.object({ total: wireSizeOut, avail: wireSizeOut, used: wireSizeOut, active: z.boolean() }),
    deadlineMs: quick,
    run: async (storage, _args, { ctx }) => {
      const { total, available, used } = await storageCapacity(storage, ctx);
      return { total, avail: available, used, active: true };
    },
  }),
  capabilities: method({
    args: nothing,
    result: z.record(z.string(), z.boolean()),
    deadlineMs: quick,
    run: async (storage, _args, { ctx }) => {
      const capabilities = await storage.capabilities(ctx);
      return { ...capabilities, reflink: capabilities.snapshots && capabilities.linkedClones };
    },
  }),
  alloc_image: method({
    args: z.object({
      vmid,
      format,
      name: z
        .string()
        .max(255)
        .nullish()
        .transform((name) => name || null),
      size: wireSize,
    }),
    result: volnameResult,
    needsArray: true,
    deadlineMs: change,
    guests: (_storage, args) => [args.vmid],
    run: async (storage, args, { ctx }) => ({ volname: (await allocImage(storage, ctx, args)).volname }),
  }),
  free_image: method({
    args: volumeArgs,
    result: z.object({ existed: z.boolean() }),
    needsArray: true,
    deadlineMs: slow,
    guests: owner,
    run: async (storage, args, { ctx }) => ({ existed: await freeImage(storage, ctx, args) }),
  }),
  clone_image: method({
    args: z.object({ volname, vmid, snap: optionalSnap }),
    result: volnameResult,
    needsArray: true,
    deadlineMs: change,
    guests: ownerAndTarget,
    run: async (storage, args, { ctx }) => ({ volname: (await cloneImage(storage, ctx, args)).volname }),
  }),
  create_base: method({
    args: volumeArgs,
    result: volnameResult,
    needsArray: true,
    deadlineMs: change,
    guests: owner,
    run: async (storage, args, { ctx }) => ({ volname: (await createBase(storage, ctx, args)).volname }),
  }),
  rename_volume: method({
    args: z.object({
      volname,
      vmid,
      name: z
        .string()
        .max(255)
        .nullish()
        .transform((name) => name || null),
    }),
    result: volnameResult,
    needsArray: true,
    deadlineMs: change,
    guests: ownerAndTarget,
    run: async (storage, args, { ctx }) => ({ volname: (await renameVolume(storage, ctx, args)).volname }),
  }),
  find_free_diskname: method({
    args: z.object({ vmid, format }),
    result: z.object({ name: z.string() }),
    needsArray: true,
    deadlineMs: query,
    run: async (storage, args, { ctx }) => ({ name: await findFreeDiskname(storage, ctx, args) }),
  }),
  list_images: method({
    args: z.object({
      vmid: vmid.nullish().transform((value) => value ?? null),
      vollist: z
        .array(z.string())
        .nullish()
        .transform((value) => value ?? null),
    }),
    result: z.array(z.object({ volname: z.string(), vmid: z.number(), ...volumeFields })),
    needsArray: true,
    deadlineMs: query,
    run: async (storage, args, { ctx }) => (await listImages(storage, ctx, args)).map(describe),
  }),
  activate_volume: method({
    args: volumeSnapArgs.extend({ hints: z.record(z.string(), z.unknown()).nullish() }),
    result: nullResult,
    deadlineMs: change,
    guests: owner,
    run: async (storage, args, { ctx }) => {
      await activateVolume(storage, ctx, args);
      return null;
    },
  }),
  deactivate_volume: method({
    args: volumeSnapArgs,
    result: nullResult,
    deadlineMs: change,
    guests: owner,
    run: async (storage, args, { ctx }) => {
      await deactivateVolume(storage, ctx, args);
      return null;
    },
  }),
  map_volume: method({
    args: volumeSnapArgs,
    result: z.object({ path: z.string() }),
    deadlineMs: change,
    guests: owner,
    run: async (storage, args, { ctx }) => ({ path: await activateVolume(storage, ctx, args) }),
  }),
  path: method({
    args: volumeSnapArgs,
    result: z.object({ path: z.string() }),
    deadlineMs: query,
    run: async (storage, args, { ctx }) => ({ path: await volumePath(storage, ctx, args) }),
  }),
  unmap_volume: method({
    args: volumeSnapArgs,
    result: nullResult,
    deadlineMs: change,
    // A path that PVE mapped stays until it deactivates the volume.
    run: async () => null,
  }),
  volume_size_info: method({
    args: volumeArgs,
    result: z.object({ volname: z.string(), vmid: z.number(), ...volumeFields }),
    deadlineMs: query,
    run: async (storage, args, { ctx }) => describe(await volumeSizeInfo(storage, ctx, args)),
  }),
  volume_resize: method({
    args: z.object({ volname, size: wireSize, running: flag.optional(), snap: optionalSnap }),
    result: nullResult,
    needsArray: true,
    deadlineMs: slow,
    guests: owner,
    run: async (storage, args, { ctx }) => {
      await volumeResize(storage, ctx, args);
      return null;
    },
  }),
  volume_snapshot: method({
    args: snapshotArgs,
    result: nullResult,
    needsArray: true,
    deadlineMs: slow,
    guests: owner,
    run: async (storage, args, { ctx }) => {
      await volumeSnapshot(storage, ctx, args);
      return null;
    },
  }),
  volume_snapshot_delete: method({
    args: snapshotArgs,
    result: nullResult,
    needsArray: true,
    deadlineMs: slow,
    guests: owner,
    run: async (storage, args, { ctx }) => {
      await volumeSnapshotDelete(storage, ctx, args);
      return null;
    },
  }),
  volume_snapshot_rollback: method({
    args: snapshotArgs,
    result: nullResult,
    needsArray: true,
    deadlineMs: slow,
    guests: owner,
    run: async (storage, args, { ctx }) => {
      await volumeSnapshotRollback(storage, ctx, args);
      return null;
    },
  }),
  volume_rollback_is_possible: method({
    args: snapshotArgs,
    result: z.object({ possible: z.boolean(), blockers: z.array(z.string()), reason: z.string().optional() }),
    needsArray: true,
    deadlineMs: query,
    run: (storage, args, { ctx }) => rollbackIsPossible(storage, ctx, args),
  }),
  volume_snapshot_info: method({
    args: volumeArgs,
    result: z.record(z.string(), z.object({ id: z.string(), timestamp: z.number().int() })),
    needsArray: true,
    deadlineMs: query,
    run: async (storage, args, { ctx }) =>
      Object.fromEntries(
        (await volumeSnapshotInfo(storage, ctx, args)).map(({ name, id, timestamp }) => [
          name,
          { id, timestamp },
        ]),
      ),
  }),
  volume_export: method({
    args: volumeSnapArgs.extend({ streamFormat: z.string().optional() }),
    result: z.object({ path: z.string(), format }),
    deadlineMs: change,
    guests: owner,
    run: (storage, args, { ctx }) => volumeExport(storage, ctx, args),
  }),
  volume_import: method({
    args: z.object({ volname, size: wireSize, format: z.string(), allowRename: flag }),
    result: z.object({
      volname: z.string(),
      target: z.object({
        kind: z.enum(["create", "file", "device", "directory"]),
        path: z.string(),
        zeroed: z.boolean(),
      }),
      token: z.string(),
    }),
    needsArray: true,
    deadlineMs: change,
    guests: owner,
    run: async (storage, args, { ctx, leases }) => {
      const { ref, target, token } = await volumeImport(storage, ctx, args, leases);
      return { volname: ref.volname, target, token };
    },
  }),
  volume_import_abort: method({
    args: z.object({ token: z.string(), volname }),
    result: nullResult,
    deadlineMs: change,
    guests: owner,
    run: async (_storage, args, { ctx, leases }) => {
      await volumeImportAbort(ctx, args, leases);
      return null;
    },
  }),
  leftovers: method({
    args: nothing,
    result: z.array(
      z.object({
        kind: z.string(),
        name: z.string(),
        vmid: z.number().optional(),
        why: z.string(),
        keep: z.string().optional(),
      }),
    ),
    deadlineMs: slow,
    run: async (storage, _args, { ctx }) => leftovers(storage, ctx),
  }),
  remove_leftover: method({
    args: z.object({ kind: z.string().max(64), name: z.string().max(4096), vmid: vmid.optional() }),
    result: nullResult,
    deadlineMs: slow,
    guests: (_storage, args) => (args.vmid === undefined ? [] : [args.vmid]),
    run: async (storage, args, { ctx }) => {
      await removeLeftover(storage, ctx, args);
      return null;
    },
  }),
  volume_import_commit: method({
    args: z.object({ token: z.string(), volname }),
    result: volnameResult,
    deadlineMs: change,
    guests: owner,
    run: async (storage, args, { ctx, leases }) => ({
      volname: (await volumeImportCommit(storage, ctx, args, leases)).volname,
    }),
  }),
};
