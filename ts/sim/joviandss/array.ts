// SPDX-License-Identifier: AGPL-3.0-or-later
import { setTimeout as sleep } from "node:timers/promises";
import { DataFiles } from "../common/files.js";
import { Mutex } from "../common/mutex.js";
import { randomFrom } from "../common/random.js";
import { type Behaviour, behaviourSchema } from "./behaviour.js";
import type { ExportedTarget, TargetExporter } from "./exports.js";
import type { SimulatorOptions } from "./options.js";
import { Refusal, refuse } from "./refusal.js";
import type { Route } from "./routes.js";
import { euiOf, scsiIdOf } from "./shapes.js";
import type { ArrayState, Pool, Session, Target } from "./state.js";
import type { Ask, Result, World } from "./world.js";

const tebibyte = 2 ** 40;

/** The array without its transport: state, data and targets. */
export class JovianArray implements World {
  readonly state: ArrayState = { pools: new Map(), shares: new Map() };
  behaviour: Behaviour;
  readonly files: DataFiles | undefined;
  readonly now: () => number;
  readonly #exporter: TargetExporter | undefined;
  readonly #dataPort: number;
  readonly #commands = new Mutex();
  readonly #random: () => number;
  #touched = new Map<Target, Pool>();
  #editing = false;
  #id = 0;
  #txg = 19_806_100;

  private constructor(options: SimulatorOptions, files: DataFiles | undefined) {
    this.behaviour = behaviourSchema.parse(options.behaviour ?? {});
    this.files = files;
    this.now = options.now ?? Date.now;
    this.#exporter = options.exporter;
    this.#dataPort = options.dataPort ?? 3260;
    // Of its own, so that identities do not shift the faults.
    this.#random = randomFrom((options.seed ?? 1) ^ 0x5bd1e995);
    const vips = options.vips ?? options.addresses ?? ["127.0.0.1", "127.0.0.2"];
    for (const option of options.pools ?? ["Pool-0"]) {
      const { name, size = tebibyte } = typeof option === "string" ? { name: option } : option;
      this.state.pools.set(name, {
        name,
        id: this.identity().guid,
        size,
        health: "ONLINE",
        vips: vips.map((address, index) => ({ name: `vip${index}`, address })),
        volumes: new Map(),
        snapshots: new Set(),
        datasets: new Map(),
        targets: new Map(),
      });
    }
  }

  static async open(options: SimulatorOptions): Promise<JovianArray> {
    const { data } = options;
    return new JovianArray(options, data === undefined ? undefined : await DataFiles.open(data, "joviandss"));
  }

  identity(): { id: number; txg: number; guid: string; volumeId: string } {
    const hex = () => Math.floor(this.#random() * 16).toString(16);
    const guid = `1${Array.from({ length: 19 }, () => Math.floor(this.#random() * 10)).join("")}`;
    return { id: ++this.#id, txg: ++this.#txg, guid, volumeId: Array.from({ length: 40 }, hex).join("") };
  }

  /** One request. Changes are made one after the other. */
  async run(route: Route, ask: Ask): Promise<Result> {
    if (route.verb === "GET") return route.run(this, ask);
    const command = () => this.change(async () => route.run(this, ask));
    return route.editsTargets ? this.#edit(command) : command();
  }

  /** Changes something while nothing else is, and tells the exporter. */
  change<T>(body: () => Promise<T>): Promise<T> {
    return this.#commands.run(async () => {
      try {
        return await body();
      } finally {
        await this.#export();
      }
    });
  }

  touched(pool: Pool, target: Target): void {
    this.#touched.set(target, pool);
  }

  async sessions(target: Target): Promise<readonly Session[]> {
    return this.#exporter?.sessions ? this.#exporter.sessions(target.name) : target.sessions;
  }

  /** Ends the exporter, removes the files. */
  async close(): Promise<void> {
    try {
      await this.#commands.run(async () => this.#exporter?.close?.());
    } finally {
      this.files?.close();
    }
  }

  async #edit(command: () => Promise<Result>): Promise<Result> {
    const { targetEditMs, clashApplies } = this.behaviour;
    if (this.#editing) {
      if (clashApplies) await command();
      throw refuse.configClash();
    }
    if (targetEditMs === 0) return command();
    this.#editing = true;
    try {
      const result = await command();
      await sleep(targetEditMs);
      return result;
    } finally {
      this.#editing = false;
    }
  }

  async #export(): Promise<void> {
    const touched = this.#touched;
    this.#touched = new Map();
    if (!this.#exporter) return;
    try {
      for (const [target, pool] of touched) {
        if (pool.targets.get(target.name) === target)
          await this.#exporter.apply(this.#exported(pool, target));
        else await this.#exporter.remove(target.name);
      }
    } catch (error) {
      const { status, kind, errorClass, errno } = refuse.scst();
      const text = error instanceof Error ? error.message : String(error);
      throw new Refusal(status, kind, errorClass, text, errno);
    }
  }

  #exported(pool: Pool, target: Target): ExportedTarget {
    const { enabled, assigned } = target.portals;
    const vips = pool.vips.filter(({ name }) => !enabled || assigned.includes(name));
    const at = (address: string) => (address.includes(":") ? `[${address}]` : address);
    // The entry of a volume that is gone has nothing behind it.
    const luns = [...target.luns.values()].filter(({ volume }) => pool.volumes.get(volume.name) === volume);
    return {
      iqn: target.name,
      active: target.active,
      portals: vips.map(({ address }) => `${at(address)}:${this.#dataPort}`),
      chap: target.incomingUsersActive
        ? [...target.users].map(([name, password]) => ({ name, password }))
        : undefined,
      luns: luns.map(({ lun, volume, mode, blockSize, empty, revision, scsiId = scsiIdOf(volume) }) => ({
        lun,
        volume: volume.name,
        file: this.files?.path(volume.id),
        size: empty ? 0 : volume.volsize,
        readOnly: mode === "ro" || volume.properties.get("readonly") === "on",
        blockSize,
        scsiId,
        wwid: `2${euiOf(scsiId)}`,
        revision,
      })),
    };
  }
}
