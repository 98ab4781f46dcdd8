// SPDX-License-Identifier: AGPL-3.0-or-later
import { setMaxListeners } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import { LinstorSimulator, type SimulatorOptions } from "../../../sim/linstor/index.js";
import type { VolumeRef } from "../../../src/arrays/contract.js";
import type { DriverOptions } from "../../../src/arrays/linstor/session.js";
import { linstorType, openDriver } from "../../../src/arrays/linstor/type.js";
import { storageType } from "../../../src/arrays/registry.js";
import type { Context } from "../../../src/common/context.js";
import { createLogger } from "../../../src/common/log.js";
import { DrbdConnector } from "../../../src/connectors/drbd.js";
import { nativeLayer } from "../../../src/connectors/native-layer.js";
import { type Storage, Storages } from "../../../src/plugin/storage.js";
import { VolumeNames } from "../../../src/plugin/volname.js";
import { ImaginedDevices } from "./devices.js";

export const mib = 1n << 20n;
export type NodeName = "pve1" | "pve2" | "pve3";
export type Section = Readonly<Record<string, unknown>>;

// One for the process: PVE's file system for the cluster.
const cluster = mkdtempSync(join(tmpdir(), "blockio-linstor-"));
process.env["PVE_BLOCKIO_CLUSTER_DIR"] = cluster;
process.once("exit", () => rmSync(cluster, { recursive: true, force: true }));

/** Writes a file below PVE's file system for the cluster. */
export function clusterFile(path: string, text: string): void {
  mkdirSync(join(cluster, path, ".."), { recursive: true });
  writeFileSync(join(cluster, path), text);
}

/** Takes a guest's configuration away. */
export function noGuest(vmid: number): void {
  for (const node of ["pve1", "pve2", "pve3"])
    rmSync(join(cluster, "nodes", node, "qemu-server", `${vmid}.conf`), { force: true });
}

/** Puts a guest's configuration on a node, and on no other. */
export function guestOn(node: NodeName, vmid: number, text = ""): void {
  noGuest(vmid);
  clusterFile(`nodes/${node}/qemu-server/${vmid}.conf`, text);
}

const names = new VolumeNames(linstorType);

export function refOf(name: string): VolumeRef {
  return names.parse(name);
}

/** How nodes differ from the usual ones. */
export interface Differs {
  readonly section?: Section;
  readonly options?: DriverOptions;
  readonly simulator?: SimulatorOptions;
  /** Loop devices, which need root; records only when absent. */
  readonly real?: boolean;
}

/** Limits that do not keep a test waiting. */
export const quick: DriverOptions = {
  limits: {
    connectMs: 1_000,
    queryMs: 5_000,
    commandMs: 5_000,
    probeMs: 2_000,
    querySilenceMs: 3_000,
    probeSilenceMs: 1_000,
    pausesMs: [5, 5, 5, 5, 5],
  },
  patience: { syncMs: 1_000, closingMs: 100, undoMs: 1_000 },
  token: "/nonexistent",
};

/** A simulated LINSTOR, and the nodes of its cluster. */
export class Nodes {
  readonly lines: string[] = [];
  readonly ctx: Context;
  readonly services = new Map<NodeName, Storages>();

  private constructor(
    readonly sim: LinstorSimulator,
    readonly section: Section,
    readonly top: string,
    { options, real }: Differs,
  ) {
    const { signal } = new AbortController();
    // All calls of a test have the same one.
    setMaxListeners(0, signal);
    this.ctx = {
      signal,
      log: createLogger({ level: "debug", write: (line) => this.lines.push(line) }),
    };
    const type = {
      ...linstorType,
      createDriver: (...[scfg, environment]: Parameters<typeof linstorType.createDriver>) =>
        openDriver(scfg, environment, {
          ...quick,
          devices: join(top, "dev", "{node}"),
          records: join(top, "names"),
          ...options,
          limits: { ...quick.limits, ...options?.limits },
        }),
    };
    for (const name of ["pve1", "pve2", "pve3"] as const) {
      const connector = real ? new DrbdConnector(nativeLayer()) : new ImaginedDevices(sim, name);
      this.services.set(
        name,
        new Storages({ name }, undefined, (wanted) => (wanted === "drbd" ? type : storageType(wanted)), {
          connectorOf: () => connector,
          links: join(top, "run", name),
          closingMs: 100,
        }),
      );
    }
  }

  static async start(t: ExecutionContext, differs: Differs = {}): Promise<Nodes> {
    const top = mkdtempSync(join(tmpdir(), "blockio-linstor-node-"));
    for (const dir of ["data", "dev"]) mkdirSync(join(top, dir));
    const where = differs.real ? { data: join(top, "data"), devices: join(top, "dev") } : {};
    const sim = await LinstorSimulator.start({ ...where, ...differs.simulator });
    const section = {
      type: "drbd",
      controller: sim.urls.join(","),
      resourcegroup: "rg1",
      content: { images: true, rootdir: true },
      ...differs.section,
    };
    const nodes = new Nodes(sim, section, top, differs);
    t.teardown(async () => {
      await Promise.all([...nodes.services.values()].map((one) => one.close()));
      await sim.close();
      rmSync(top, { recursive: true, force: true });
    });
    return nodes;
  }

  /** The storage as a node sees it; another section is another storage of that id. */
  at(node: NodeName, section: Section = {}, storeid = "linstor"): Storage {
    const service = this.services.get(node);
    if (!service) throw new Error(`no node ${node}`);
    return service.open(storeid, { ...this.section, ...section });
  }

  /** A new volume. */
  async disk(name = "vm-100-disk-0", size = 8n * mib): Promise<VolumeRef> {
    return this.at("pve1").driver.createVolume(this.ctx, refOf(name), size);
  }

  /** Names of all definitions, sorted. */
  definitions(): string[] {
    return this.sim.state.definitions
      .values()
      .map(({ name }) => name)
      .sort();
  }

  /** Names of all snapshots, `DEFINITION@SNAPSHOT`, sorted. */
  snapshots(): string[] {
    return this.sim.state.definitions
      .values()
      .flatMap(({ name, snapshots }) => snapshots.values().map((snapshot) => `${name}@${snapshot.name}`))
      .sort();
  }

  /** Nodes of a definition with the kind of the resource there. */
  placed(definition: string): Record<string, string> {
    const found = this.sim.state.definition(definition);
    return Object.fromEntries(found.resources.values().map(({ node, kind }) => [node.name, kind]));
  }

  /** A definition's properties. */
  props(definition: string): Readonly<Record<string, string>> {
    return this.sim.state.definition(definition).props;
  }

  /** Pairs of nodes that may both write. */
  twoPrimaries(definition: string): string[] {
    return [...this.sim.state.definition(definition).connections].flatMap(([pair, props]) =>
      props["DrbdOptions/Net/allow-two-primaries"] === undefined ? [] : [pair],
    );
  }

  /** Requests that were sent so far, as `METHOD path`. */
  requests(): string[] {
    return this.sim.journal.entries.map(({ request }) => request);
  }
}
