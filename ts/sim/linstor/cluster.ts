// SPDX-License-Identifier: AGPL-3.0-or-later
import { setTimeout as sleep } from "node:timers/promises";
import { DataFiles } from "../common/files.js";
import { DeviceLinks } from "../common/links.js";
import { Mutex } from "../common/mutex.js";
import { randomFrom } from "../common/random.js";
import { Timers } from "../common/timers.js";
import { argumentsOf } from "./arguments.js";
import { type Behaviour, behaviourSchema } from "./behaviour.js";
import { finishDeletion } from "./definitions.js";
import { dropResource } from "./deploy.js";
import { Devices, linkDir } from "./devices.js";
import type { Faults } from "./faults.js";
import { addForeign } from "./foreign.js";
import { addGroup } from "./groups.js";
import { Names } from "./names.js";
import type { SimulatorOptions } from "./options.js";
import { asRefusal, Replies } from "./replies.js";
import type { Route } from "./routes.js";
import { finishSnapshot } from "./snapshots.js";
import { type Openness, type Resource, type SatelliteNode, State } from "./state.js";
import type { Ask, World } from "./world.js";

const tebibyte = 2 ** 40;
const [firstMinor, firstPort] = [1000, 7000];

/** What a request leads to: data, or what was said. */
export interface Outcome {
  readonly status: number;
  readonly data: unknown;
  readonly out: Replies | undefined;
}

/** The controller and its satellites without the transport. */
export class LinstorCluster implements World {
  readonly state = new State();
  behaviour: Behaviour;
  readonly files: DataFiles | undefined;
  readonly devices: Devices;
  readonly links: DeviceLinks | undefined;
  readonly now: () => number;
  readonly orders: World["orders"];
  readonly #commands = new Mutex();
  readonly #random: () => number;
  readonly #timers = new Timers();
  readonly #held = new Set<number>();
  #known = new Set<number>();
  #data = 0;
  #minor = firstMinor;
  #port = firstPort;
  #closed = false;

  private constructor(
    options: SimulatorOptions,
    faults: Faults,
    files: DataFiles | undefined,
    links: DeviceLinks | undefined,
  ) {
    this.behaviour = behaviourSchema.parse(options.behaviour ?? {});
    this.files = files;
    this.links = links;
    this.devices = new Devices(this.state, files, links, () => this.behaviour);
    this.now = options.now ?? Date.now;
    this.orders = { take: (what, { node }) => faults.take(what, node?.name) };
    // Of its own, so that identities do not shift the faults.
    this.#random = randomFrom((options.seed ?? 1) ^ 0x5bd1e995);
  }

  static async open(options: SimulatorOptions, faults: Faults): Promise<LinstorCluster> {
    const { data, devices } = options;
    if (devices !== undefined && data === undefined) throw new Error("devices need a data directory");
    const files = data === undefined ? undefined : await DataFiles.open(data, "linstor");
    let cluster: LinstorCluster | undefined;
    try {
      const links =
        devices === undefined || data === undefined ? undefined : await DeviceLinks.open(devices, data);
      cluster = new LinstorCluster(options, faults, files, links);
      await cluster.#furnish(options);
      return cluster;
    } catch (error) {
      await cluster?.close();
      files?.close();
      throw error;
    }
  }

  /** One request. Mutations are made one after the other. */
  async run(route: Route, given: Ask): Promise<Outcome> {
    if (route.kind === "query") {
      const out = new Replies("none", "none");
      try {
        return { status: 200, data: route.run(this, given), out: undefined };
      } catch (error) {
        out.refused(asRefusal(error));
        return { status: out.status(200), data: undefined, out };
      }
    }
    const out = new Replies(route.operation, route.object);
    let data: unknown;
    try {
      const { strictBodies, mutationMs } = this.behaviour;
      const body = route.schema ? argumentsOf(route.schema, given.body ?? {}, strictBodies) : undefined;
      if (mutationMs > 0) await sleep(mutationMs);
      const run = () => route.run(this, { ...given, body }, out);
      data = await (route.staged ? run() : this.change(run));
    } catch (error) {
      out.refused(asRefusal(error));
    }
    this.devices.glance();
    const status = out.status(route.success);
    return { status, data: status < 300 ? data : undefined, out };
  }

  change<T>(body: () => Promise<T>): Promise<T> {
    return this.#commands.run(async () => {
      this.state.mutation++;
      try {
        return await body();
      } finally {
        await this.settle();
      }
    });
  }

  later(ms: number, body: () => Promise<void>): void {
    if (this.#closed) return;
    this.#timers.after(ms, () =>
      this.change(async () => {
        if (!this.#closed) await body();
      }).catch((error) => {
        this.devices.failures.push(`in the background: ${String(error)}`);
      }),
    );
  }

  pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.#timers.after(ms, async () => resolve()));
  }

  /** Ends what takes time: clones, rollbacks, synchronization. */
  hurry(): Promise<void> {
    return this.#timers.hurry();
  }

  async settle(): Promise<void> {
    if (this.#closed) return;
    await this.devices.converge();
    const used = new Set([...this.state.data().map(({ number }) => number), ...this.#held]);
    for (const { node, data } of this.devices.all()) if (!node.online) used.add(data);
    for (const number of this.#known) if (!used.has(number)) await this.files?.remove(number);
    this.#known = used;
  }

  async hold(data: number | undefined, kib: number): Promise<number | undefined> {
    if (data === undefined) return undefined;
    const copy = this.dataNumber();
    this.#held.add(copy);
    await this.files?.create(copy, kib * 1024, data);
    return copy;
  }

  release(data: number | undefined): void {
    if (data !== undefined) this.#held.delete(data);
  }

  /** Numbers of data that somebody keeps for later. */
  get held(): ReadonlySet<number> {
    return this.#held;
  }

  /**
   * The controller loses a satellite, or gets it back, with what was left undone there. DRBD goes with its node, unless
   * `linked` says that only the satellite is down.
   */
  async setOnline(node: SatelliteNode, online: boolean, linked = online): Promise<void> {
    await this.change(async () => {
      node.online = online;
      node.linked = linked;
      if (!online) return;
      for (const resource of this.state.resources()) {
        if (resource.node !== node || !resource.deleting) continue;
        dropResource(resource);
        finishDeletion(this, resource.definition);
      }
      const snapshots = this.state.definitions.values().flatMap((one) => one.snapshots.values());
      for (const snapshot of snapshots)
        if (snapshot.instances.get(node.name)?.deleting) finishSnapshot(this, snapshot);
    });
  }

  openness(resource: Resource): Openness {
    return this.devices.openness(resource);
  }

  uuid(): string {
    const hex = (length: number) => Array.from({ length }, () => this.#digit(16)).join("");
    return [8, 4, 4, 4, 12].map(hex).join("-");
  }

  suffix(length: number): string {
    return Array.from({ length }, () => this.#digit(36)).join("");
  }

  dataNumber(): number {
    const number = ++this.#data;
    this.#known.add(number);
    return number;
  }

  minor(): number {
    return this.#minor++;
  }

  port(): number {
    return this.#port++;
  }

  /** Ends everything: waits, devices, files. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timers.clear();
    try {
      await this.#commands.run(() => this.devices.close());
    } finally {
      this.files?.close();
    }
  }

  #digit(base: number): string {
    return Math.floor(this.#random() * base).toString(base);
  }

  async #furnish(options: SimulatorOptions): Promise<void> {
    const { state } = this;
    for (const option of options.nodes ?? ["pve1", "pve2", "pve3"]) {
      const { name, dir = name, layers, props = {} } = typeof option === "string" ? { name: option } : option;
      state.nodes.set(name, {
        name,
        dir,
        address: `192.0.2.${state.nodes.size + 1}`,
        online: true,
        linked: true,
        flags: new Set(),
        layers: layers ?? ["DRBD", "LUKS", "NVME", "STORAGE"],
        props: { ...props },
        pools: new Names(),
        uuid: this.uuid(),
      });
      await this.links?.addNode(dir, linkDir);
    }
    for (const option of options.pools ?? ["ssd"]) this.#addPool(option);
    const uuid = this.uuid();
    const filter = { place_count: 2 };
    addGroup(state, {
      name: "DfltRscGrp",
      description: "Default resource group",
      props: {},
      filter,
      volumeGroups: [],
      uuid,
    });
    for (const option of options.groups ?? ["rg1"]) this.#addGroup(option);
    const { foreign } = options;
    if (foreign !== undefined) await this.change(() => addForeign(this, state.group(foreign)));
  }

  #addPool(option: NonNullable<SimulatorOptions["pools"]>[number]): void {
    const {
      name,
      kind = "LVM_THIN",
      capacity = tebibyte,
      nodes,
    } = typeof option === "string" ? { name: option } : option;
    for (const node of nodes?.map((one) => this.state.node(one)) ?? this.state.nodes.values()) {
      const backing =
        kind === "LVM_THIN" ? `${name}/thin` : kind.startsWith("FILE") ? `/var/lib/${name}` : name;
      const props = { "StorDriver/StorPoolName": backing };
      const uuid = this.uuid();
      node.pools.set(name, { name, node, kind, capacity: Math.floor(capacity / 1024), backing, props, uuid });
    }
  }

  #addGroup(option: NonNullable<SimulatorOptions["groups"]>[number]): void {
    const given = typeof option === "string" ? { name: option } : option;
    const { name, placeCount = 2, pools, layers, volumeGroups = 1, props = {} } = given;
    addGroup(this.state, {
      name,
      description: "",
      props: { ...props },
      filter: {
        place_count: placeCount ?? undefined,
        storage_pool_list: pools,
        layer_stack: layers,
      },
      volumeGroups: Array.from({ length: volumeGroups }, (_, number) => number),
      uuid: this.uuid(),
    });
  }
}
