// SPDX-License-Identifier: AGPL-3.0-or-later
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Capabilities, Connection, Driver, StorageType, VolumeRef } from "../arrays/contract.js";
import { storageType } from "../arrays/registry.js";
import type { Context, Host } from "../common/context.js";
import { codeOf, fail, wrap } from "../common/errors.js";
import { Gate } from "../common/gate.js";
import { KeyedLocks } from "../common/locks.js";
import type { Bytes } from "../common/size.js";
import type { Connector } from "../connectors/connector.js";
import type { DeviceLayer } from "../connectors/device-layer.js";
import { linkDirectory, linkNames } from "../connectors/link.js";
import { nativeLayer } from "../connectors/native-layer.js";
import { connectorFor } from "../connectors/registry.js";
import { RequestJournal } from "./journal.js";
import { Silence } from "./silence.js";
import type { Leases } from "./stream.js";
import { VolumeNames } from "./volname.js";

/** How volumes become devices on a node. */
export interface NodeDevices {
  connectorOf(kind: Connection["kind"]): Connector;
  /** Directory of the links to devices, by storage. */
  readonly links: string;
  /** How long a device may take to be closed, in milliseconds; five seconds when absent. */
  readonly closingMs?: number;
  /** The kernel's disks, for the search for leftovers; this machine's when absent. */
  readonly layer?: DeviceLayer;
  /** Below which `sys`, `dev` and open-iscsi's records are; `/` when absent. */
  readonly root?: string;
}

const closingMs = 5_000;

/** The disks of the node that `devices` is of. */
export function layerOf({ layer }: NodeDevices): DeviceLayer {
  return layer ?? nativeLayer();
}

/** This machine's own. */
const ownDevices: NodeDevices = {
  connectorOf: connectorFor,
  get links() {
    return linkDirectory();
  },
};

/** One storage.cfg section, opened: its type, its driver and what this service knows about work under way. */
export class Storage {
  readonly names: VolumeNames;
  readonly driver: Driver;
  readonly silence = new Silence();

  constructor(
    readonly storeid: string,
    readonly type: StorageType,
    readonly section: Readonly<Record<string, unknown>>,
    readonly host: Host,
    private readonly shared: SharedState,
    readonly devices: NodeDevices,
  ) {
    this.names = new VolumeNames(type);
    this.driver = this.#driverOf(section);
  }

  /** Throws `invalid` for a section that this storage cannot have. */
  async tryOut(section: Readonly<Record<string, unknown>>): Promise<void> {
    await this.#driverOf(section).close();
  }

  /** Volume names that imports under way will take; no new volume may get one of them. */
  get reserved(): Set<string> {
    return this.shared.reservedIn(this.driver.domain);
  }

  /** Imports of this service that have neither been committed nor given up, by token. */
  get imports(): Leases {
    return this.shared.imports;
  }

  /** Locks the given guests on this array for this node; see {@link KeyedLocks.acquire}. */
  lockGuests(vmids: readonly number[], signal: AbortSignal): Promise<() => void> {
    return this.shared.locks.acquire(
      vmids.map((vmid) => `${this.driver.domain}#${vmid}`),
      signal,
    );
  }

  /**
   * Waits for a place among the calls of this array, and returns the function that gives it back. An array that
   * hangs keeps its own calls waiting, and no more than these.
   */
  enter(signal: AbortSignal): Promise<() => void> {
    return this.shared.gateOf(this.driver.domain).enter(signal);
  }

  async capabilities(ctx: Context): Promise<Capabilities> {
    return this.driver.capabilities(ctx);
  }

  /** Publishes a volume to this node and makes it a local path. */
  async attach(ctx: Context, ref: VolumeRef, snapshot: string | undefined): Promise<string> {
    const connection = await this.driver.publish(ctx, ref, snapshot, this.host);
    const connector = this.devices.connectorOf(connection.kind);
    const connect = () =>
      about(`activate '${called(ref, snapshot)}'`, () =>
        connector.connect(ctx, connection, this.#link(ref, snapshot)),
      );
    return connect().catch(async (error: unknown) => {
      // The array does not show which password it has: after a change of it, it may be the old one.
      if (codeOf(error) !== "auth" || !this.driver.renewAccess) throw error;
      ctx.log.info("the login was rejected, renewing the credentials on the array", { volname: ref.volname });
      await this.driver.renewAccess(ctx, ref, snapshot);
      return connect();
    });
  }

  /** Takes a volume off this node; nothing to do when it was not there. A shared image that is open stays. Throws `busy`. */
  async detach(ctx: Context, ref: VolumeRef, snapshot: string | undefined): Promise<void> {
    if (!this.type.needsDeactivation) return;
    const connection = await this.driver.locate(ctx, ref, snapshot).catch((error: unknown) => {
      if (codeOf(error) === "absent") return undefined;
      throw error;
    });
    if (connection)
      await about(`deactivate '${called(ref, snapshot)}'`, () =>
        this.#disconnect(ctx, connection, ref, snapshot),
      );
    const gone = await this.driver.unpublish(ctx, ref, snapshot, this.host);
    if (connection && gone) await this.devices.connectorOf(connection.kind).released?.(ctx, connection);
  }

  /** Takes a volume off this node with the snapshots of it that are there. Throws `busy`. */
  async detachWhole(ctx: Context, ref: VolumeRef): Promise<void> {
    const start = `${ref.name}@`;
    const links = await linkNames(join(this.devices.links, this.storeid));
    for (const link of links)
      if (link.startsWith(start)) await this.detach(ctx, ref, link.slice(start.length));
    await this.detach(ctx, ref, undefined);
  }

  /** What is just being closed, by a guest that has stopped, is waited for. */
  async #disconnect(
    ctx: Context,
    connection: Connection,
    ref: VolumeRef,
    snapshot: string | undefined,
  ): Promise<void> {
    const connector = this.devices.connectorOf(connection.kind);
    const end = performance.now() + (this.devices.closingMs ?? closingMs);
    for (;;) {
      try {
        return await connector.disconnect(ctx, connection, this.#link(ref, snapshot));
      } catch (error) {
        if (codeOf(error) !== "busy" || performance.now() >= end) throw error;
        await sleep(200, undefined, { signal: ctx.signal });
      }
    }
  }

  /** Makes this node see the new size of a volume, in bytes. */
  async refresh(ctx: Context, ref: VolumeRef, size: Bytes): Promise<void> {
    if (!this.type.needsDeactivation) return;
    const connection = await this.driver.locate(ctx, ref, undefined);
    await this.devices.connectorOf(connection.kind).refresh(ctx, connection, size);
  }

  /** The local path that a volume has when it is attached. */
  async path(ctx: Context, ref: VolumeRef, snapshot: string | undefined): Promise<string> {
    const connection = await this.driver.locate(ctx, ref, snapshot);
    return this.devices.connectorOf(connection.kind).path(connection, this.#link(ref, snapshot));
  }

  #link(ref: VolumeRef, snapshot: string | undefined): string {
    const name = snapshot === undefined ? ref.name : `${ref.name}@${snapshot}`;
    return join(this.devices.links, this.storeid, name);
  }

  #driverOf(section: Readonly<Record<string, unknown>>): Driver {
    return this.type.createDriver(section, {
      storeid: this.storeid,
      host: this.host,
      parse: (volname) => this.names.parse(volname),
      compose: ({ vmid, name }) => this.names.compose(vmid, name),
    });
  }
}

function called({ volname }: VolumeRef, snapshot: string | undefined): string {
  return snapshot === undefined ? volname : `${volname}@${snapshot}`;
}

/** Runs `body`; its errors begin with what was done to which volume. */
async function about<T>(what: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    throw wrap(error, what);
  }
}

/**
 * How many calls of one array run at once. The file operations of all arrays share a pool of threads
 * (see `cli/main.ts`), of which a hanging one must not take all.
 */
const callsPerArray = 16;

/** State that outlives a change of a section: two sections may lie on the same array. */
class SharedState {
  readonly locks = new KeyedLocks();
  readonly imports: Leases = new Map();
  readonly #reserved = new Map<string, Set<string>>();
  readonly #gates = new Map<string, Gate>();

  gateOf(domain: string): Gate {
    let gate = this.#gates.get(domain);
    if (!gate) {
      gate = new Gate(callsPerArray);
      this.#gates.set(domain, gate);
    }
    return gate;
  }

  reservedIn(domain: string): Set<string> {
    let names = this.#reserved.get(domain);
    if (!names) {
      names = new Set();
      this.#reserved.set(domain, names);
    }
    return names;
  }
}

/** How many opened sections are kept; a cluster has far fewer. */
const keptSections = 256;

/** Opens storages by section; the same section gives the same object. */
export class Storages {
  readonly #open = new Map<string, Storage>();
  readonly #shared = new SharedState();

  constructor(
    readonly host: Host,
    readonly journal = new RequestJournal(),
    private readonly typeCalled = storageType,
    private readonly devices: NodeDevices = ownDevices,
  ) {}

  /** Throws `invalid` for a section that is not ours or malformed. */
  open(storeid: string, scfg: Readonly<Record<string, unknown>>): Storage {
    const key = `${storeid}\0${canonical(scfg)}`;
    const known = this.#open.get(key);
    if (known) {
      this.#open.delete(key);
      this.#open.set(key, known);
      return known;
    }
    const type = scfg["type"];
    if (typeof type !== "string") throw fail("invalid", `storage '${storeid}': its section has no type`);
    const described = this.typeCalled(type);
    const storage = new Storage(storeid, described, scfg, this.host, this.#shared, this.devices);
    this.#open.set(key, storage);
    for (const [oldest, dropped] of this.#open) {
      if (this.#open.size <= keptSections) break;
      this.#open.delete(oldest);
      void dropped.driver.close();
    }
    return storage;
  }

  async close(): Promise<void> {
    const all = [...this.#open.values()];
    this.#open.clear();
    await Promise.allSettled(all.map((storage) => storage.driver.close()));
  }
}

/** The same text for the same section, whatever the order of its keys. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value !== null && typeof value === "object") {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`).join(",")}}`;
  }
  return JSON.stringify(value) ?? "null";
}
