// SPDX-License-Identifier: AGPL-3.0-or-later
import { randomUUID } from "node:crypto";
import type { Format, ImportTarget, Staging, VolumeRef } from "../arrays/contract.js";
import { afterwards, type Context } from "../common/context.js";
import { codeOf, fail } from "../common/errors.js";
import type { Bytes } from "../common/size.js";
import { type Creation, createWithFreeName, creatingOnce, explicitName, undoLimitMs } from "./alloc.js";
import { createBase } from "./copy.js";
import type { Storage } from "./storage.js";

/**
 * What a client holds as long as its connection lasts. When the connection ends first, `abandon` runs: a stream
 * process that was killed leaves nothing behind.
 */
export interface Lease {
  readonly storage: Storage;
  /** Guests to lock while abandoning. */
  readonly vmids: readonly number[];
  /** Undoes what was begun; nothing when it has been committed meanwhile, over whichever connection. */
  abandon(ctx: Context): Promise<void>;
  /** Ends it without undoing anything. */
  settle(): void;
}

/** The leases of one client connection, by token. */
export type Leases = Map<string, Lease>;

/** The reading end of a stream: a local path that stays usable until the connection closes. */
export interface ExportSource {
  readonly path: string;
  readonly format: Format;
}

/** What volumes of each format leave as. */
const streamFormats: Readonly<Record<Format, string>> = { raw: "raw+size", subvol: "tar+size" };

/** First half of PVE's `volume_export`: makes the volume, or a snapshot of it, readable on this node. */
export async function volumeExport(
  storage: Storage,
  ctx: Context,
  args: { volname: string; snap: string | null; streamFormat?: string | undefined },
): Promise<ExportSource> {
  const ref = storage.names.parse(args.volname);
  const wanted = args.streamFormat ?? streamFormats[ref.format];
  if (storage.type.streams[ref.format]?.[wanted] !== "service") {
    throw fail(
      "unsupported",
      `export '${ref.volname}': format '${ref.format}' does not leave as '${wanted}'`,
    );
  }
  const path = await storage.attach(ctx, ref, args.snap ?? undefined);
  return { path, format: ref.format };
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
  const staging = stagingOf(storage);
  // Without a driver's own staging what is immutable is written as a volume that becomes it at the commit.
  const toBase = wanted.isBase && storage.driver.staging === undefined;
  let asked = wanted;
  let target: ImportTarget | undefined;
  const begin = (to: VolumeRef): Creation => ({
    ref: to,
    make: async () => {
      const begun = await staging.begin(ctx, to, args.size);
      target = begun.target;
      asked = to;
      return begun.ref;
    },
    undo: (later, made) => staging.abort(later, made),
  });
  const named = (name: string) =>
    creatingOnce(storage, ctx, begin(explicitName(storage, wanted.vmid, name, wanted.format)));
  let ref: VolumeRef;
  try {
    // A taken base is no obstacle to the disk that it is written to, so that the end would be the first to notice.
    if (toBase && wanted.vmid !== 0) await refuseTaken(storage, ctx, wanted);
    ref = await named(toBase ? importName(storage, wanted, 1) : wanted.name);
  } catch (error) {
    if (codeOf(error) !== "exists" || !args.allowRename) throw error;
    ctx.log.info("name is taken, importing under a free one", { volname: wanted.volname });
    ref =
      wanted.vmid === 0
        ? await withNextName(storage, wanted, named)
        : await createWithFreeName(storage, ctx, wanted.vmid, wanted.format, begin);
  }
  if (!target) throw fail("internal", `import '${ref.volname}' has no target`);
  const token = `${randomUUID()}${toBase ? baseMark : ""}`;
  // Also the name that was asked for, where the array has added to it.
  const reserved = [ref.volname, asked.volname];
  for (const name of reserved) storage.reserved.add(name);
  const settle = () => {
    for (const name of reserved) storage.reserved.delete(name);
    storage.imports.delete(token);
  };
  const lease: Lease = {
    storage,
    vmids: [ref.vmid],
    abandon: async (undo) => {
      if (!storage.imports.has(token)) return;
      await staging.abort(undo, ref);
      settle();
    },
    settle,
  };
  leases.set(token, lease);
  storage.imports.set(token, lease);
  return { ref, target, token };
}

/**
 * Second half of PVE's `volume_import`: the data is complete, the volume appears. The token of a service that was
 * restarted meanwhile is no obstacle. Sent again after a lost reply (same request token), it succeeds again.
 */
export async function volumeImportCommit(
  storage: Storage,
  ctx: Context,
  args: { token: string; volname: string },
  leases: Leases,
): Promise<VolumeRef> {
  const ref = storage.names.parse(args.volname);
  if (args.token.endsWith(baseMark)) {
    // Repeatable as it is: what an earlier attempt has made is found again.
    await storage.detach(ctx, ref, undefined);
    const base = await createBase(storage, ctx, { volname: ref.volname });
    settle(storage, args.token, ref, leases);
    return base;
  }
  // Apart from the volumes' domain: the name is reserved by the import itself.
  const domain = `${storage.driver.domain}#imports`;
  const repeated = ctx.request?.previous(domain) === ref.volname;
  ctx.request?.intend(domain, ref.volname);
  try {
    await stagingOf(storage).commit(ctx, ref);
  } catch (error) {
    if (!repeated || codeOf(error) !== "absent") throw error;
    await storage.driver.getVolume(ctx, ref);
  }
  settle(storage, args.token, ref, leases);
  return ref;
}

/**
 * The names are free, if they were reserved by this process. The commit may come over another connection than the import:
 * the end of that one must not undo it any more.
 */
function settle(storage: Storage, token: string, ref: VolumeRef, leases: Leases): void {
  storage.imports.get(token)?.settle();
  leases.delete(token);
  storage.reserved.delete(ref.volname);
}

/**
 * Ends the token of an import that becomes a base: the token is all that outlives a restart of the service. The client
 * also marks its last request with it, so that it is a word.
 */
const baseMark = "-base";

/** How many names are tried for what has no number. */
const maxChoices = 100;

/** The name of the volume that becomes `base` at the end. */
function importName(storage: Storage, base: VolumeRef, choice: number): string {
  const { naming } = storage.type;
  if (base.vmid !== 0) return naming.diskName(base.vmid, base.format, naming.diskIndex(base.name) ?? 0);
  const name = naming.importName?.(base, choice);
  if (name === undefined) throw fail("unsupported", `'${base.volname}' cannot be imported`);
  return name;
}

/** The next name of what belongs to no guest, when the first one is taken. */
async function withNextName(
  storage: Storage,
  wanted: VolumeRef,
  make: (name: string) => Promise<VolumeRef>,
): Promise<VolumeRef> {
  for (let choice = 2; ; choice++) {
    try {
      return await make(importName(storage, wanted, choice));
    } catch (error) {
      if (codeOf(error) !== "exists" || choice >= maxChoices) throw error;
    }
  }
}

async function refuseTaken(storage: Storage, ctx: Context, ref: VolumeRef): Promise<void> {
  const found = await storage.driver.getVolume(ctx, ref).catch((error: unknown) => {
    if (codeOf(error) === "absent") return undefined;
    throw error;
  });
  if (found) throw fail("exists", `volume '${found.ref.volname}' already exists`);
}

/** Gives an import up; what is not known (any more) is given up already. */
export async function volumeImportAbort(
  ctx: Context,
  args: { token: string },
  leases: Leases,
): Promise<void> {
  const lease = leases.get(args.token);
  if (!lease) return;
  await lease.abandon(ctx);
  leases.delete(args.token);
}

/** The driver's own staging, or the plain way: the volume is made now, and deleted when the import is given up. */
function stagingOf(storage: Storage): Staging {
  const { driver } = storage;
  const abort = async (ctx: Context, ref: VolumeRef) => {
    await storage.detach(ctx, ref, undefined);
    await driver.deleteVolume(ctx, ref);
  };
  return (
    driver.staging ?? {
      begin: async (ctx, wanted, size) => {
        const { zeroedOnCreate: zeroed } = await storage.capabilities(ctx);
        const ref = await driver.createVolume(ctx, wanted, size);
        try {
          const path = await storage.attach(ctx, ref, undefined);
          return { ref, target: { kind: "device", path, zeroed } };
        } catch (error) {
          // The call's own signal may be what failed.
          await abort(afterwards(ctx, undoLimitMs), ref).catch((undoError: unknown) => {
            ctx.log.error("could not remove the volume of a failed import", {
              volname: ref.volname,
              error: undoError,
            });
          });
          throw error;
        }
      },
      commit: async (ctx, ref) => {
        await driver.getVolume(ctx, ref);
        await storage.detach(ctx, ref, undefined);
      },
      abort,
    }
  );
}
