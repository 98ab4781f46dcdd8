// SPDX-License-Identifier: AGPL-3.0-or-later
import { setMaxListeners } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import { JovianSimulator, type SimulatorOptions } from "../../../sim/joviandss/index.js";
import type { VolumeRef } from "../../../src/arrays/contract.js";
import type { ClientPace } from "../../../src/arrays/joviandss/client.js";
import { joviandssType, openDriver } from "../../../src/arrays/joviandss/type.js";
import { storageType } from "../../../src/arrays/registry.js";
import type { Context } from "../../../src/common/context.js";
import { createLogger } from "../../../src/common/log.js";
import { type Storage, Storages } from "../../../src/plugin/storage.js";
import { VolumeNames } from "../../../src/plugin/volname.js";
import { quick } from "./fake.js";
import { LoopInitiator } from "./initiator.js";

export const mib = 1n << 20n;
export const prefix = "iqn.2025-06.proxmox.pool-0";
export type NodeName = "a" | "b";
export type Section = Readonly<Record<string, unknown>>;

// One for the process: PVE's file system for the cluster.
const cluster = mkdtempSync(join(tmpdir(), "blockio-jovian-"));
process.env["PVE_BLOCKIO_CLUSTER_DIR"] = cluster;
process.once("exit", () => rmSync(cluster, { recursive: true, force: true }));

/** Writes a file below PVE's file system for the cluster. */
export function clusterFile(path: string, text: string): void {
  mkdirSync(join(cluster, path, ".."), { recursive: true });
  writeFileSync(join(cluster, path), text);
}

/** Where a file of {@link clusterFile} is. */
export function clusterPath(path: string): string {
  return join(cluster, path);
}

export function iqnOf(vmid: number, index = 0): string {
  return `${prefix}:vm-${vmid}-${index}`;
}

const names = new VolumeNames(joviandssType);

export function refOf(name: string): VolumeRef {
  return names.parse(name);
}

/** How nodes differ from the usual ones. */
export interface Differs {
  readonly section?: Section;
  readonly pace?: ClientPace;
  readonly simulator?: SimulatorOptions;
}

/** A simulated array, and two nodes that have no devices but all else. */
export class Nodes {
  readonly lines: string[] = [];
  readonly ctx: Context;
  readonly initiators: Readonly<Record<NodeName, LoopInitiator>>;
  readonly services: Readonly<Record<NodeName, Storages>>;

  private constructor(
    readonly sim: JovianSimulator,
    readonly section: Section,
    top: string,
    { pace = {} }: Differs,
  ) {
    const { signal } = new AbortController();
    // All calls of a test have the same one.
    setMaxListeners(0, signal);
    this.ctx = {
      signal,
      log: createLogger({ level: "debug", write: (line) => this.lines.push(line) }),
    };
    this.initiators = {
      a: new LoopInitiator(sim, initiatorOf("a")),
      b: new LoopInitiator(sim, initiatorOf("b")),
    };
    const type = {
      ...joviandssType,
      createDriver: (...[scfg, environment]: Parameters<typeof joviandssType.createDriver>) =>
        openDriver(scfg, environment, {
          pace: {
            volumes: { resizeMs: 1_000, renameMs: 1_000, deleteMs: 2_000 },
            targetsMs: 1_000,
            ...pace,
            limits: { ...quick, ...pace.limits },
          },
          initiator: async () => initiatorOf(environment.host.name),
        }),
    };
    const service = (name: NodeName) =>
      new Storages({ name }, undefined, (wanted) => (wanted === "joviandss" ? type : storageType(wanted)), {
        connectorOf: () => this.initiators[name],
        links: join(top, "run", name),
        closingMs: 100,
      });
    this.services = { a: service("a"), b: service("b") };
  }

  static async start(t: ExecutionContext, differs: Differs = {}): Promise<Nodes> {
    const top = mkdtempSync(join(tmpdir(), "blockio-jovian-node-"));
    const sim = await JovianSimulator.start(differs.simulator);
    const section = {
      type: "joviandss",
      pool_name: "Pool-0",
      user_password: sim.password,
      ssl_cert_verify: 0,
      control_addresses: sim.addresses.join(","),
      control_port: sim.port,
      target_prefix: `${prefix}:`,
      log_file: join(top, "log"),
      content: { images: true, rootdir: true },
      ...differs.section,
    };
    const nodes = new Nodes(sim, section, top, differs);
    t.teardown(async () => {
      await Promise.all(Object.values(nodes.services).map((one) => one.close()));
      await sim.close();
      rmSync(top, { recursive: true, force: true });
    });
    return nodes;
  }

  /** The storage as a node sees it; another section is another storage of that id. */
  at(node: NodeName, section: Section = {}, storeid = "jdss"): Storage {
    return this.services[node].open(storeid, { ...this.section, ...section });
  }

  /** A new volume; names of its own where none is given. */
  async disk(name = "vm-100-disk-0", size = mib): Promise<VolumeRef> {
    return this.at("a").driver.createVolume(this.ctx, refOf(name), size);
  }

  /** Targets with the names of their volumes. */
  targets(): Record<string, string[]> {
    return Object.fromEntries(
      [...this.sim.pool().targets.values()].map(({ name, luns }) => [
        name,
        [...luns.values()].map((lun) => `${lun.lun}:${lun.name}`),
      ]),
    );
  }

  /** Names of the zvols, sorted. */
  volumes(): string[] {
    return [...this.sim.pool().volumes.keys()].sort();
  }

  /** Names of the snapshots, `VOLUME@SNAPSHOT`, sorted. */
  snapshots(): string[] {
    return [...this.sim.pool().snapshots].map(({ volume, name }) => `${volume.name}@${name}`).sort();
  }
}

export function initiatorOf(node: string): string {
  return `iqn.1993-08.org.debian:01:${node}`;
}
