// SPDX-License-Identifier: AGPL-3.0-or-later
import { randomUUID } from "node:crypto";
import type { Format, ImportStage, ImportTarget, VolumeRef } from "../arrays/contract.js";
import type { Context } from "../common/context.js";
import { codeOf, fail } from "../common/errors.js";
import type { Bytes } from "../common/size.js";
import { createWithFreeName, explicitName } from "./alloc.js";
import type { Storage } from "./storage.js";

/**
 * What a client holds as long as its connection lasts. When the connection ends first, `abandon` runs: a stream
 * process that was killed leaves nothing behind.
 */
export interface Lease {
  readonly storage: Storage;
  /** Guests to lock while abandoning. */
  readonly vmids: readonly number[];
  abandon(ctx: Context): Promise<void>;
}

/** The leases of one client connection, by token. */
export type Leases = Map<string, Lease>;

/** The reading end of a stream: a local path that stays usable until the connection closes. */
export interface ExportSource {
  readonly path: string;
  readonly format: Format;
}

/** First half of PVE's `volume_export`: makes the volume, or a snapshot of it, readable on this node. */
export async function volumeExport(
  storage: Storage,
  ctx: Context,
  args: { volname: string; snap: string | null },
): Promise<ExportSource> {
  const ref = storage.names.parse(args.volname);
  if (storage.type.streams[ref.format]?.["raw+size"] !== "service") {
    throw fail("unsupported", `export '${ref.volname}': format '${ref.format}' does not leave as 'raw+size'`);
  }
  const path = await storage.attach(ctx, ref, args.snap ?? undefined);
  return { path, format: ref.format };
}

/** A lease on an import, with what its second half needs. */
interface ImportLease extends Lease {
  readonly ref: VolumeRef;
  readonly stage: ImportStage;
}

/**
 * First half of PVE's `volume_import`: settles the name and gives the place where the data goes. With
 * `allowRename` a taken name is replaced by a free one. The volume is not there for others before
 * {@link volumeImportCommit}.
 */
export async function volumeImport(
  storage: Storage,
  ctx: Context,
  args: { volname: string; size: Bytes; format: string; allowRename: boolean },
  leases: Leases,
): Promise<{ ref: VolumeRef; target: ImportTarget; token: string }> {
  const wanted = storage.names.parse(args.volname);
  if (storage.type.streams[wanted.format]?.[args.format] !== "service") {
    throw fail(
      "unsupported",
      `import '${wanted.volname}': '${args.format}' does not fit a volume of format '${wanted.format}'`,
    );
  }
  let stage: ImportStage | undefined;
  const begin = async (ref: VolumeRef) => {
    stage = await beginImport(storage, ctx, ref, args.size);
  };
  let ref = wanted;
  try {
    ref = explicitName(storage, wanted.vmid, wanted.name, wanted.format);
    await begin(ref);
  } catch (error) {
    if (codeOf(error) !== "exists" || !args.allowRename) throw error;
    ctx.log.info("name is taken, importing under a free one", { volname: wanted.volname });
    ref = await createWithFreeName(storage, ctx, wanted.vmid, wanted.format, begin);
  }
  if (!stage) throw fail("internal", `import '${ref.volname}' has no stage`);
  const opened = stage;
  const token = randomUUID();
  storage.reserved.add(ref.volname);
  const lease: ImportLease = {
    storage,
    ref,
    stage: opened,
    vmids: [ref.vmid],
    abandon: async (undo) => {
      storage.reserved.delete(ref.volname);
      await opened.abort(undo);
    },
  };
  leases.set(token, lease);
  return { ref, target: opened.target, token };
}

/**
 * Second half of PVE's `volume_import`: the data is complete, the volume appears. A token of an earlier service
 * that was restarted meanwhile is no obstacle, as long as the volume is there.
 */
export async function volumeImportCommit(
  storage: Storage,
  ctx: Context,
  args: { token: string; volname: string },
  leases: Leases,
): Promise<VolumeRef> {
  const lease = leases.get(args.token) as ImportLease | undefined;
  if (!lease) {
    const ref = storage.names.parse(args.volname);
    await storage.driver.getVolume(ctx, ref);
    await storage.detach(ctx, ref, undefined);
    return ref;
  }
  await lease.stage.commit(ctx);
  leases.delete(args.token);
  storage.reserved.delete(lease.ref.volname);
  return lease.ref;
}

/** Uses the driver's own staging, or creates the volume now and deletes it on abort. */
async function beginImport(
  storage: Storage,
  ctx: Context,
  ref: VolumeRef,
  size: Bytes,
): Promise<ImportStage> {
  if (storage.driver.stageImport) return storage.driver.stageImport(ctx, ref, size);
  const { zeroedOnCreate } = await storage.capabilities(ctx);
  await storage.driver.createVolume(ctx, ref, size);
  try {
    const path = await storage.attach(ctx, ref, undefined);
    return {
      target: { kind: "device", path, zeroed: zeroedOnCreate },
      commit: (done) => storage.detach(done, ref, undefined),
      abort: async (undo) => {
        await storage.detach(undo, ref, undefined);
        await storage.driver.deleteVolume(undo, ref);
      },
    };
  } catch (error) {
    await storage.driver.deleteVolume(ctx, ref).catch((undoError: unknown) => {
      ctx.log.error("could not remove the volume of a failed import", {
        volname: ref.volname,
        error: undoError,
      });
    });
    throw error;
  }
}
