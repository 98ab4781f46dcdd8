// SPDX-License-Identifier: AGPL-3.0-or-later

import { DataFiles } from "../common/files.js";
import { DeviceLinks } from "../common/links.js";
import { Mutex } from "../common/mutex.js";
import { type Behaviour, behaviourSchema } from "./behaviour.js";
import { endpoints } from "./endpoints.js";
import { addForeign } from "./foreign.js";
import { deviceProblems, type Expected, fileProblems, stateProblems } from "./invariants.js";
import { linkDir, Nodes } from "./nodes.js";
import { expire, fold, overdue } from "./objects.js";
import type { SimulatorOptions } from "./options.js";
import { refuse } from "./refusal.js";
import { State, type StoredObject } from "./state.js";
import type { Effect, World } from "./world.js";

const tebibyte = 2 ** 40;

/** The service without its transport: state, clients and requests. */
export class Cluster implements World {
  readonly state: State;
  behaviour: Behaviour;
  readonly files: DataFiles | undefined;
  readonly nodes: Nodes;
  readonly now: () => number;
  readonly #links: DeviceLinks | undefined;
  readonly #commands = new Mutex();
  readonly #folds = new Set<NodeJS.Timeout>();

  private constructor(
    options: SimulatorOptions,
    files: DataFiles | undefined,
    links: DeviceLinks | undefined,
  ) {
    this.state = new State(options.clusterId ?? "nzkr.b");
    this.behaviour = behaviourSchema.parse(options.behaviour ?? {});
    this.files = files;
    this.#links = links;
    this.nodes = new Nodes(this, links);
    this.now = options.now ?? (() => Math.floor(Date.now() / 1000));
  }

  static async open(options: SimulatorOptions): Promise<Cluster> {
    const { data, devices } = options;
    if (devices !== undefined && data === undefined) throw new Error("devices need a data directory");
    const files = data === undefined ? undefined : await DataFiles.open(data, "storpool");
    let cluster: Cluster | undefined;
    try {
      const links =
        devices === undefined || data === undefined ? undefined : await DeviceLinks.open(devices, data);
      cluster = new Cluster(options, files, links);
      await cluster.#furnish(options);
      return cluster;
    } catch (error) {
      await cluster?.close();
      files?.close();
      throw error;
    }
  }

  /** One request; `path` is the name and, for some, `/` and an argument. */
  async request(verb: string, path: string, body: unknown, signal: AbortSignal): Promise<unknown> {
    const { name, argument } = split(path);
    const endpoint = this.behaviour.missing.includes(name) ? undefined : endpoints.get(name);
    if (endpoint?.verb !== verb || endpoint.argument !== (argument !== ""))
      throw refuse("unknownQuery", `No such request: ${verb} ${path}`);
    if (overdue(this).length > 0) await this.#commands.run(() => expire(this));
    if (endpoint.verb === "GET") return endpoint.run(this, argument, signal);
    const { effect, generation } = await this.#commands.run(async () => {
      const done: Effect = await endpoint.run(this, argument, body ?? {});
      this.state.generation++;
      return { effect: done, generation: this.state.generation };
    });
    this.nodes.schedule();
    await effect.wait?.(signal);
    return { ok: true, generation, ...effect.extra };
  }

  deletedWithChildren(snapshot: StoredObject): void {
    const { deletedFoldMs } = this.behaviour;
    if (deletedFoldMs === null) return;
    const timer = setTimeout(() => {
      this.#folds.delete(timer);
      this.#commands
        .run(() => fold(this, snapshot))
        .catch((error) => this.nodes.failures.push(`fold a deleted snapshot: ${String(error)}`));
    }, deletedFoldMs);
    this.#folds.add(timer);
  }

  check(expected: Expected): string[] {
    return [
      ...stateProblems(this.state, expected),
      ...(this.files ? fileProblems(this.state, this.files) : []),
      ...deviceProblems(this.state, this.nodes, this.#links),
    ];
  }

  async close(): Promise<void> {
    for (const timer of this.#folds) clearTimeout(timer);
    try {
      await this.#commands.run(() => this.nodes.close());
    } finally {
      this.files?.close();
    }
  }

  async #furnish(options: SimulatorOptions): Promise<void> {
    for (const option of options.templates ?? ["nvme"]) {
      const { name, capacity } = typeof option === "string" ? { name: option, capacity: undefined } : option;
      const id = this.state.templates.size + 1;
      this.state.templates.set(name, { id, name, capacity: capacity ?? tebibyte, replication: 3 });
    }
    for (const option of options.clients ?? [11, 12]) {
      const { id, dir } = typeof option === "number" ? { id: option, dir: undefined } : option;
      const { generation } = this.state;
      const client = { id, dir: dir ?? String(id), status: "running" as const, generation };
      this.state.clients.set(id, client);
      await this.#links?.addNode(client.dir, linkDir);
    }
    const [template] = this.state.templates.keys();
    if (options.foreign && template !== undefined) await addForeign(this, { ...options.foreign, template });
  }
}

function split(path: string): { name: string; argument: string } {
  const slash = path.indexOf("/");
  if (slash < 0) return { name: path, argument: "" };
  return { name: path.slice(0, slash), argument: path.slice(slash + 1) };
}
