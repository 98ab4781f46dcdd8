// SPDX-License-Identifier: AGPL-3.0-or-later
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import * as z from "zod";
import type { Format } from "../../src/arrays/contract.js";
import { storageType } from "../../src/arrays/registry.js";
import { type Caller, dispatch } from "../../src/bridge/dispatch.js";
import { requestSchema } from "../../src/bridge/protocol.js";
import { BlockioError, type ErrorCode } from "../../src/common/errors.js";
import { silentLogger } from "../../src/common/log.js";
import { wireSize } from "../../src/common/size.js";
import { Storages } from "../../src/plugin/storage.js";
import { pattern, readBytes, sizeOf, writeBytes } from "./bytes.js";
import type { Place, Section, Site, Subject } from "./subject.js";
import { Undo } from "./undo.js";

/** How the service is asked. The suite's own tests put a liar here. */
export type Ask = typeof dispatch;

export const storeid = "conformance";

const entrySchema = z.strictObject({
  volname: z.string(),
  vmid: z.number().int(),
  vtype: z.enum(["images", "iso"]),
  format: z.enum(["raw", "subvol"]),
  size: wireSize,
  used: wireSize.optional(),
  parent: z.string().optional(),
  ctime: z.number().int().optional(),
});
/** A volume as listings and size info describe it. */
export type Entry = z.output<typeof entrySchema>;

const volnameSchema = z.strictObject({ volname: z.string() });
const importSchema = z.strictObject({
  volname: z.string(),
  target: z.strictObject({
    kind: z.enum(["create", "file", "device", "directory"]),
    path: z.string().startsWith("/"),
    zeroed: z.boolean(),
  }),
  /** The client marks the request that ends the import with it. */
  token: z.string().regex(/^[A-Za-z0-9-]{8,64}$/),
});
/** An import under way. */
export type Begun = z.output<typeof importSchema>;

const snapshotsSchema = z.record(
  z.string(),
  z.strictObject({ id: z.string().min(1), timestamp: z.number().int() }),
);
const possibleSchema = z.strictObject({
  possible: z.boolean(),
  blockers: z.array(z.string()),
  reason: z.string().optional(),
});

/** Bytes that are written and compared at either end of a volume. */
const markBytes = 64 * 1024;

interface CallOptions {
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
  readonly section?: Section;
  readonly storeid?: string;
}

/** What all nodes of one test share. */
interface Shared {
  readonly subject: Subject;
  readonly site: Site;
  readonly place: Place;
  readonly ask: Ask;
  readonly undo: Undo;
  readonly scratch: string;
  readonly nodes: Map<string, Storages>;
  /** Whole volume names by what was asked for; see {@link Subject.plain}. */
  readonly whole: Map<string, string>;
  /** What is on an activated storage without any volume. */
  readonly empty: readonly string[];
  lastId: number;
}

/**
 * One test's client of one node's service. Speaks the wire format, remembers what it made and removes it at the
 * end of the test.
 */
export class Session {
  readonly leases: Caller["leases"] = new Map();

  private constructor(
    private readonly shared: Shared,
    readonly storages: Storages,
  ) {}

  /** Opens a place and activates the storage there. */
  static async open(subject: Subject, site: Site, place: Place, ask: Ask = dispatch): Promise<Session> {
    const scratch = await mkdtemp(join(tmpdir(), "blockio-conformance-"));
    const storages = serviceOf(subject, place, "node-a");
    const first = new Session(
      {
        subject,
        site,
        place,
        ask,
        undo: new Undo(),
        scratch,
        nodes: new Map([["node-a", storages]]),
        whole: new Map(),
        empty: [],
        lastId: 0,
      },
      storages,
    );
    try {
      await first.call("activate_storage");
    } catch (error) {
      await place.remove();
      throw error;
    }
    return new Session({ ...first.shared, empty: await place.inventory() }, storages);
  }

  get subject(): Subject {
    return this.shared.subject;
  }

  get site(): Site {
    return this.shared.site;
  }

  get place(): Place {
    return this.shared.place;
  }

  /** A directory for the test's own files. */
  get scratch(): string {
    return this.shared.scratch;
  }

  get undo(): Undo {
    return this.shared.undo;
  }

  /** The same storage seen from another node of the cluster, whose service knows nothing of this one's. */
  at(node: string): Session {
    let storages = this.shared.nodes.get(node);
    if (!storages) {
      storages = serviceOf(this.subject, this.place, node);
      this.shared.nodes.set(node, storages);
    }
    return new Session(this.shared, storages);
  }

  /** This node after its service was killed and started again: what it knew of calls and imports is gone. */
  restarted(): Session {
    for (const token of this.leases.keys()) this.undo.forget(`import ${token}`);
    this.leases.clear();
    const storages = serviceOf(this.subject, this.place, this.storages.host.name);
    this.shared.nodes.set(`restart ${this.shared.nodes.size}`, storages);
    return new Session(this.shared, storages);
  }

  /** Another place of the same site, in the same test; what is made there must be removed by the test. */
  async elsewhere(place: Place): Promise<Session> {
    const other = await Session.open(this.subject, this.site, place, this.shared.ask);
    this.undo.add(`place ${this.shared.undo.keys("place").length}`, async () => {
      const problems = await other.close();
      if (problems.length > 0) throw new Error(problems.join("; "));
    });
    return other;
  }

  /** One request, in wire format both ways. */
  async call(method: string, args: object = {}, options: CallOptions = {}): Promise<unknown> {
    const line = JSON.stringify({
      id: ++this.shared.lastId,
      method,
      storeid: options.storeid ?? storeid,
      scfg: options.section ?? this.place.section,
      args: this.#spelledOut(method, args),
      deadlineMs: options.deadlineMs,
    });
    const caller: Caller = {
      leases: this.leases,
      signal: options.signal ?? new AbortController().signal,
      log: silentLogger,
    };
    try {
      const result = await this.shared.ask(this.storages, requestSchema.parse(JSON.parse(line)), caller);
      return this.#plain(JSON.parse(JSON.stringify(result)));
    } catch (error) {
      const { plain } = this.subject;
      if (plain && error instanceof BlockioError) throw new BlockioError(error.code, plain(error.message));
      throw error;
    }
  }

  /** Arguments with the whole names of volumes that are known. */
  #spelledOut(method: string, args: object): object {
    // An import asks for a name as an allocation does.
    if (!this.subject.plain || method === "volume_import") return args;
    const { whole } = this.shared;
    const spell = (value: unknown): unknown =>
      Array.isArray(value)
        ? value.map(spell)
        : typeof value === "string"
          ? (whole.get(value) ?? value)
          : value;
    return Object.fromEntries(
      Object.entries(args).map(([key, value]) => [
        key,
        key === "volname" || key === "vollist" ? spell(value) : value,
      ]),
    );
  }

  /** A result in which each volume goes by the name that was asked for; the whole ones are remembered. */
  #plain(value: unknown): unknown {
    const { plain } = this.subject;
    if (!plain || value === null || typeof value !== "object") return value;
    if (Array.isArray(value)) return value.map((item) => this.#plain(item));
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => {
        if ((key !== "volname" && key !== "parent") || typeof item !== "string")
          return [key, this.#plain(item)];
        const short = plain(item);
        this.shared.whole.set(short, item);
        return [key, short];
      }),
    );
  }

  // Volumes

  async alloc(
    options: { vmid?: number; size?: bigint; name?: string; format?: Format } = {},
    call: CallOptions = {},
  ): Promise<string> {
    const { vmid = 100, format = "raw", size = format === "raw" ? 1024n * 1024n : 0n } = options;
    const args = { vmid, format, name: options.name ?? null, size: size.toString() };
    return this.made(volnameSchema.parse(await this.call("alloc_image", args, call)).volname);
  }

  /** Registers a volume that the test has made, under the name it goes by now. */
  made(volname: string): string {
    this.undo.add(`volume ${volname}`, async () => {
      const { existed } = (await this.call("free_image", { volname })) as { existed: boolean };
      if (!existed) throw new Error("it was gone already");
    });
    return volname;
  }

  async free(volname: string, call: CallOptions = {}): Promise<boolean> {
    const result = await this.call("free_image", { volname }, call);
    this.undo.forget(`volume ${volname}`);
    for (const key of this.undo.keys(`snapshot ${volname}@`)) this.undo.forget(key);
    return z.strictObject({ existed: z.boolean() }).parse(result).existed;
  }

  async list(vmid: number | null = null, vollist: readonly string[] | null = null): Promise<Entry[]> {
    return z.array(entrySchema).parse(await this.call("list_images", { vmid, vollist }));
  }

  /** The names of a listing, sorted. */
  async names(vmid: number | null = null): Promise<string[]> {
    return (await this.list(vmid)).map((entry) => entry.volname).sort();
  }

  async info(volname: string): Promise<Entry> {
    return entrySchema.parse(await this.call("volume_size_info", { volname }));
  }

  async freeName(vmid = 100, format: Format = "raw"): Promise<string> {
    return z.strictObject({ name: z.string() }).parse(await this.call("find_free_diskname", { vmid, format }))
      .name;
  }

  async resize(volname: string, size: bigint, running = false): Promise<void> {
    expectNull(await this.call("volume_resize", { volname, size: size.toString(), running, snap: null }));
  }

  async rename(
    volname: string,
    vmid: number,
    name: string | null = null,
    call: CallOptions = {},
  ): Promise<string> {
    const answer = await this.call("rename_volume", { volname, vmid, name }, call);
    const result = volnameSchema.parse(answer).volname;
    this.undo.forget(`volume ${volname}`);
    return this.made(result);
  }

  async makeBase(volname: string): Promise<string> {
    const result = volnameSchema.parse(await this.call("create_base", { volname })).volname;
    this.undo.forget(`volume ${volname}`);
    return this.made(result);
  }

  async clone(
    volname: string,
    vmid: number,
    snap: string | null = null,
    call: CallOptions = {},
  ): Promise<string> {
    return this.made(
      volnameSchema.parse(await this.call("clone_image", { volname, vmid, snap }, call)).volname,
    );
  }

  // Snapshots

  async snapshot(volname: string, snap: string, call: CallOptions = {}): Promise<void> {
    expectNull(await this.call("volume_snapshot", { volname, snap, running: null }, call));
    this.undo.add(`snapshot ${volname}@${snap}`, () => this.deleteSnapshot(volname, snap));
  }

  async deleteSnapshot(volname: string, snap: string): Promise<void> {
    expectNull(await this.call("volume_snapshot_delete", { volname, snap, running: null }));
    this.undo.forget(`snapshot ${volname}@${snap}`);
  }

  async rollback(volname: string, snap: string): Promise<void> {
    expectNull(await this.call("volume_snapshot_rollback", { volname, snap }));
  }

  async rollbackPossible(volname: string, snap: string): Promise<z.output<typeof possibleSchema>> {
    return possibleSchema.parse(await this.call("volume_rollback_is_possible", { volname, snap }));
  }

  async snapshots(volname: string): Promise<z.output<typeof snapshotsSchema>> {
    const answer = (await this.call("volume_snapshot_info", { volname })) as Record<string, unknown>;
    return snapshotsSchema.parse(answer);
  }

  /** The names of a volume's snapshots, sorted. */
  async snapshotNames(volname: string): Promise<string[]> {
    return Object.keys(await this.snapshots(volname)).sort();
  }

  // Access

  async activate(volname: string, snap: string | null = null): Promise<void> {
    expectNull(await this.call("activate_volume", { volname, snap, hints: null }));
  }

  async deactivate(volname: string, snap: string | null = null): Promise<void> {
    expectNull(await this.call("deactivate_volume", { volname, snap }));
  }

  async map(volname: string, snap: string | null = null): Promise<string> {
    return z.strictObject({ path: z.string() }).parse(await this.call("map_volume", { volname, snap })).path;
  }

  /** Writes bytes that can be told from those of any other `seed` to both ends of a volume. */
  async fill(volname: string, seed: string): Promise<void> {
    const path = await this.map(volname);
    const size = await sizeOf(path);
    for (const offset of marks(size)) {
      await writeBytes(path, offset, pattern(`${seed}@${offset}`, markLength(size, offset)));
    }
  }

  /**
   * Asserts that a volume, or its snapshot, has `size` bytes, and at the places of a volume of `filled` bytes what
   * {@link fill} wrote there.
   */
  async shows(
    t: ExecutionContext,
    volname: string,
    seed: string,
    options: { snap?: string; size?: bigint; filled?: bigint } = {},
  ): Promise<void> {
    const path = await this.map(volname, options.snap ?? null);
    const what = options.snap === undefined ? volname : `${volname}@${options.snap}`;
    const present = await sizeOf(path);
    if (options.size !== undefined) t.is(present, this.rounded(options.size), `size of ${what}`);
    const filled = options.filled === undefined ? present : this.rounded(options.filled);
    for (const offset of marks(filled)) {
      const length = markLength(filled, offset);
      const same = (await readBytes(path, offset, length)).equals(pattern(`${seed}@${offset}`, length));
      t.true(same, `${what} does not show '${seed}' at byte ${offset}`);
    }
  }

  /** Asserts that a range reads as zeros; to the volume's end unless `length` says less. */
  async readsZero(t: ExecutionContext, volname: string, offset: bigint, length: number): Promise<void> {
    const data = await readBytes(await this.map(volname), offset, length);
    t.is(data.length, length, `${volname} ends before byte ${offset + BigInt(length)}`);
    t.true(
      data.every((byte) => byte === 0),
      `${volname} has data between byte ${offset} and ${offset + BigInt(length)}`,
    );
  }

  /** A size as this array keeps it. */
  rounded(size: bigint): bigint {
    const { sizeUnit, rounded } = this.subject;
    if (rounded) return rounded(size);
    return ((size + sizeUnit - 1n) / sizeUnit) * sizeUnit;
  }

  // Imports

  async beginImport(volname: string, size: bigint, allowRename = false, format = "raw+size"): Promise<Begun> {
    const args = { volname, size: size.toString(), format, allowRename };
    const begun = importSchema.parse(await this.call("volume_import", args));
    this.undo.add(`import ${begun.token}`, () => this.abandon(begun.token));
    return begun;
  }

  async commitImport(begun: Begun): Promise<string> {
    const { token, volname } = begun;
    const result = volnameSchema.parse(await this.call("volume_import_commit", { token, volname }));
    this.undo.forget(`import ${token}`);
    return this.made(result.volname);
  }

  /** What the service does when the connection that began an import ends. */
  async abandon(token: string): Promise<void> {
    const lease = this.leases.get(token);
    if (!lease) throw new Error(`no lease for import ${token}`);
    this.leases.delete(token);
    this.undo.forget(`import ${token}`);
    const signal = AbortSignal.timeout(10_000);
    const release = await lease.storage.lockGuests(lease.vmids, signal);
    await lease.abandon({ signal, log: silentLogger }).finally(release);
  }

  // Assertions

  /** Asserts that a call is refused with one of `codes`, in one line that helps, and changes nothing. */
  async refused(
    t: ExecutionContext,
    codes: ErrorCode | readonly ErrorCode[],
    call: () => Promise<unknown>,
    about?: string,
  ): Promise<void> {
    const before = await this.place.inventory();
    const error = await failure(call);
    const expected = typeof codes === "string" ? [codes] : codes;
    if (error === undefined) {
      t.fail(`expected ${expected.join(" or ")}, but the call succeeded`);
      return;
    }
    t.true(
      expected.includes(error.code),
      `expected ${expected.join(" or ")}: ${error.code}: ${error.message}`,
    );
    t.regex(error.message, /^\S[^\n\r\t]*\S$/, "an error message is one line");
    if (about !== undefined) t.true(error.message.includes(about), `'${about}' missing in: ${error.message}`);
    t.deepEqual(await this.place.inventory(), before, `${error.code}: the refused call left something`);
  }

  /** Asserts that exactly what was there before `body` is there afterwards. */
  async leavesNothing(t: ExecutionContext, body: () => Promise<unknown>): Promise<void> {
    const before = await this.place.inventory();
    await body();
    t.deepEqual(await this.place.inventory(), before, "something was left or is missing");
  }

  /** Removes what the test made and looks for leftovers. Returns what is wrong; removes the place in any case. */
  async close(): Promise<string[]> {
    const problems: string[] = [];
    try {
      problems.push(...(await this.undo.run()));
      for (const entry of await this.list()) problems.push(`still listed: ${entry.volname}`);
      const left = new Set(await this.place.inventory());
      for (const thing of this.shared.empty) if (!left.delete(thing)) problems.push(`missing: ${thing}`);
      for (const thing of left) problems.push(`left on the array: ${thing}`);
    } catch (error) {
      problems.push(`clean up: ${(error as Error).message}`);
    } finally {
      for (const storages of this.shared.nodes.values()) await storages.close();
      await rm(this.scratch, { recursive: true, force: true });
      await this.place.remove();
    }
    return problems;
  }
}

/** What a node's service knows. */
function serviceOf(subject: Subject, place: Place, name: string): Storages {
  const own = subject.storageType;
  const typeCalled = (type: string) => (own?.type === type ? own : storageType(type));
  return new Storages({ name }, undefined, typeCalled, place.devices?.(name));
}

/** The error that a call ends with; undefined when it succeeds. */
export async function failure(call: () => Promise<unknown>): Promise<BlockioError | undefined> {
  try {
    await call();
    return undefined;
  } catch (error) {
    return error as BlockioError;
  }
}

function expectNull(result: unknown): void {
  if (result !== null) throw new Error(`the answer should be null: ${JSON.stringify(result)}`);
}

function marks(size: bigint): bigint[] {
  return size <= BigInt(2 * markBytes) ? [0n] : [0n, size - BigInt(markBytes)];
}

function markLength(size: bigint, offset: bigint): number {
  return Number(size - offset < BigInt(markBytes) ? size - offset : BigInt(markBytes));
}
