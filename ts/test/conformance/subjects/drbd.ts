// SPDX-License-Identifier: AGPL-3.0-or-later
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { behaviourSchema } from "../../../sim/linstor/behaviour.js";
import type { Definition } from "../../../sim/linstor/index.js";
import { LinstorSimulator, type poolKinds, type SimulatorOptions } from "../../../sim/linstor/index.js";
import { allocatedFor, usableOf } from "../../../sim/linstor/pools.js";
import type { DriverOptions } from "../../../src/arrays/linstor/session.js";
import { linstorType, openDriver } from "../../../src/arrays/linstor/type.js";
import { DrbdConnector } from "../../../src/connectors/drbd.js";
import { nativeLayer } from "../../../src/connectors/native-layer.js";
import type { NodeDevices } from "../../../src/plugin/storage.js";
import { OpenApi } from "../../sim/openapi.js";
import { storeid } from "../session.js";
import type { Outage, Place, Section, Site, Subject } from "../subject.js";
import { cannotMount, type Mounted, mountImage } from "./image.js";

type PoolKind = (typeof poolKinds)[number];

/** LINSTOR's published description, when `LINSTOR_OPENAPI` names it: every request of the driver has to fit. */
const published = OpenApi.fromEnvironment();

/** What LINSTOR the questions are asked on. */
export interface Setup {
  readonly kind: PoolKind;
  /** Satellites; the last of three can be away. */
  readonly nodes: 2 | 3;
  readonly offline?: boolean;
  readonly simulator?: SimulatorOptions;
  readonly section?: Section;
}

const nodeNames = ["node-a", "node-b", "node-c"];
const kib = 1024n;
/** The smallest volume that the driver asks for. */
const smallest = 3n << 20n;

/** One storage on a simulated LINSTOR of its own. */
class DrbdPlace implements Place {
  readonly section: Section;
  readonly #nodes = new Map<string, NodeDevices>();

  private constructor(
    private readonly sim: LinstorSimulator,
    private readonly top: string,
    private readonly undescribed: ReadonlySet<string>,
    more: Section,
  ) {
    this.section = {
      type: "drbd",
      controller: sim.urls.join(","),
      resourcegroup: "rg1",
      content: { images: true, rootdir: true },
      ...more,
    };
  }

  static async open(
    name: string,
    parent: string,
    { kind, nodes, offline, simulator, section }: Setup,
    pool: { readonly capacity: number },
  ): Promise<DrbdPlace> {
    const top = join(parent, name);
    for (const dir of ["data", "dev"]) mkdirSync(join(top, dir), { recursive: true });
    const undescribed = new Set<string>();
    const sim = await LinstorSimulator.start({
      nodes: nodeNames.slice(0, nodes),
      pools: [{ name: "ssd", kind, ...pool }],
      groups: [{ name: "rg1", placeCount: 2, pools: ["ssd"] }, "rg2"],
      data: join(top, "data"),
      devices: join(top, "dev"),
      seed: Number(name.replace(/^.*-/, "")),
      ...(published
        ? {
            watch: (exchange) => {
              if (exchange.url.startsWith("/v1/"))
                for (const problem of published.request(exchange)) undescribed.add(problem);
            },
          }
        : {}),
      ...simulator,
    });
    // To look at every process of the machine takes longer than most requests.
    sim.configure({ lookMs: 250 });
    if (offline) await sim.setNode("node-c", false);
    return new DrbdPlace(sim, top, undescribed, section ?? {});
  }

  devices(node: string): NodeDevices {
    const known = this.#nodes.get(node);
    if (known) return known;
    const connector = new DrbdConnector(nativeLayer());
    const made = { connectorOf: () => connector, links: join(this.top, "run", node) };
    this.#nodes.set(node, made);
    return made;
  }

  path(volname: string, snap: string | null): string {
    return join(this.devices("node-a").links, storeid, snap === null ? volname : `${volname}@${snap}`);
  }

  /** Replicas are where LINSTOR likes; what is there without a disk comes with an activation and goes with it. */
  async inventory(): Promise<string[]> {
    return this.sim.state.definitions
      .values()
      .flatMap(({ name, group, props, volumes, snapshots, deleting }) => [
        `definition ${name} ${group.name} ${deleting} ${[...volumes.values()].map(({ size }) => size)} ${JSON.stringify(
          Object.entries(props)
            .filter(([key]) => key.startsWith("Aux/"))
            .sort(),
        )}`,
        ...snapshots.values().map((snapshot) => `snapshot ${name}@${snapshot.name}`),
      ])
      .sort();
  }

  async plant(what: string): Promise<() => Promise<void>> {
    const bodies = foreign[what];
    if (!bodies) throw new Error(`unknown foreign thing '${what}'`);
    for (const [group, name, ...sizes] of bodies)
      await this.#ask("POST", `resource-groups/${group}/spawn`, {
        resource_definition_name: name,
        volume_sizes: sizes,
        partial: true,
      });
    return async () => {
      for (const [, name] of bodies) await this.#ask("DELETE", `resource-definitions/${name}`);
    };
  }

  async outage(how: string): Promise<Outage> {
    if (how === "each connection breaks") {
      this.sim.inject({ kind: "reset-before", count: 1_000_000 });
      return { section: this.section, end: async () => this.sim.faults.clear() };
    }
    if (how === "a proxy answers instead") {
      this.sim.inject({ kind: "bad-gateway", count: 1_000_000 });
      return { section: this.section, end: async () => this.sim.faults.clear() };
    }
    const [active = ""] = this.sim.controllers;
    await this.sim.failover(null);
    return { section: this.section, end: () => this.sim.failover(active) };
  }

  async slow(ms: number): Promise<() => void> {
    this.sim.inject({ kind: "delay", ms, count: 1_000_000 });
    return () => this.sim.faults.clear();
  }

  async hold(path: string): Promise<() => Promise<void>> {
    const handle = await open(path, "r");
    return () => handle.close();
  }

  async remove(): Promise<void> {
    const wrong = this.sim.check({ unique: ["Aux/pve-blockio/name"], temporary: /^(?:snap_|pve-export-)/ });
    await this.sim.close();
    rmSync(this.top, { recursive: true, force: true });
    wrong.push(...this.undescribed);
    if (wrong.length > 0) throw new Error(wrong.join("; "));
  }

  async #ask(method: string, path: string, body?: object): Promise<void> {
    const answer = await fetch(`${this.sim.urls[0]}/v1/${path}`, {
      method,
      ...(body ? { body: JSON.stringify(body), headers: { "content-type": "application/json" } } : {}),
    });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  }
}

/** What others may keep on the server: group, name, sizes in KiB. */
const foreign: Readonly<Record<string, readonly (readonly [string, string, ...number[]])[]>> = {
  "resources of another group": [
    ["rg2", "vm-100-disk-7", 8192],
    ["rg2", "base-100-disk-8", 8192],
    ["rg2", "pm-0a1b2c3d", 8192],
  ],
  "resources with names of no volume": [
    ["rg1", "data", 8192],
    ["rg1", "vm-100", 8192],
    ["rg1", "pm-12345678", 8192],
    ["rg1", "snap_vm-100-disk-0_x", 8192],
  ],
  "a resource with two volumes": [["rg1", "vm-100-disk-9", 8192, 8192]],
};

/** What does not come by itself is not waited for as on a real cluster. */
export const options: DriverOptions = {
  limits: { connectMs: 1_000, querySilenceMs: 1_000, commandMs: 20_000, pausesMs: [20, 40, 80, 160] },
  patience: { syncMs: 2_000, closingMs: 1_000, undoMs: 2_000 },
  token: "/nonexistent",
};

const btrfs = { type: "btrfs", mkfs: ["mkfs.btrfs", "-q"] } as const;
const unavailable = cannotMount(btrfs);

/** The size that pools of a kind make of what is asked for. */
function roundedBy(kind: PoolKind): (size: bigint) => bigint {
  const behaviour = behaviourSchema.parse({});
  const group = { props: {} };
  const definition = { layers: ["DRBD", "STORAGE"], props: {}, group } as unknown as Definition;
  return (size) => {
    if (size === 0n) return 0n;
    const asked = Number(((size > smallest ? size : smallest) + kib - 1n) / kib);
    return BigInt(usableOf(definition, asked, allocatedFor(definition, asked, kind, behaviour))) * kib;
  };
}

/** A subject of type `drbd` on the simulator. */
export function drbdSubject(name: string, setup: Setup): Subject {
  const tops = new Map<string, string>();
  return {
    name,
    type: "drbd",
    storageType: {
      ...linstorType,
      createDriver: (scfg, environment) => {
        const top = tops.get(String(scfg["controller"]));
        return openDriver(scfg, environment, {
          ...options,
          ...(top === undefined ? {} : { devices: join(top, "dev", "{node}"), records: join(top, "names") }),
        });
      },
    },
    unavailable,
    capabilities: {
      snapshots: true,
      linkedClones: true,
      clonesDependOnBase: true,
      rename: true,
      rollbackToAny: true,
      zeroedOnCreate: true,
      atomicNames: true,
      directories: false,
    },
    lacks: {
      occupy: "a name that others have is not that of the definition",
      readOnlyBase: "DRBD has no such devices; clones are made of a snapshot",
      orphanSnapshot: "a snapshot cannot be there without its volume",
    },
    sizeUnit: 4n << 20n,
    rounded: roundedBy(setup.kind),
    largest: 1n << 40n,
    malformed: {
      "no resource group": { resourcegroup: undefined },
      "a controller that is none": { controller: "http://a/b" },
      "no controller": { controller: "," },
      "neither yes nor no": { preferlocal: "perhaps" },
      "a certificate without its key": { apicrt: "/etc/crt" },
    },
    foreign: Object.keys(foreign),
    goOn: [
      "check_connection",
      "activate_storage",
      "activate_volume",
      "volume_size_info",
      "map_volume",
      "volume_export",
    ],
    outages: ["no controller is active", "each connection breaks", "a proxy answers instead"],
    fileName: (stem) => stem,
    volname: (_vmid, stem) => stem,
    open: () => openSite(setup, tops),
  };
}

async function openSite(setup: Setup, tops: Map<string, string>): Promise<Site> {
  const image: Mounted = await mountImage(btrfs, 4 * 2 ** 30);
  const top = mkdtempSync(join(image.dir, "drbd-"));
  const cluster = mkdtempSync(join(tmpdir(), "blockio-cluster-"));
  // In the environment of this process, which all places share.
  process.env["PVE_BLOCKIO_CLUSTER_DIR"] = cluster;
  let number = 0;
  const next = async (pool: { readonly capacity: number }, own: Setup = setup) => {
    const name = `conf-${++number}`;
    const place = await DrbdPlace.open(name, top, own, pool);
    tops.set(String(place.section["controller"]), join(top, name));
    return place;
  };
  return {
    place: () => next({ capacity: 8 * 2 ** 40 }),
    small: () =>
      next(
        { capacity: 16 << 20 },
        {
          ...setup,
          simulator: { ...setup.simulator, behaviour: { thinFill: 1, oversubscription: 1 } },
        },
      ),
    async close() {
      spawnSync("sync");
      await image.unmount();
      rmSync(cluster, { recursive: true, force: true });
    },
  };
}

export const subject = drbdSubject("drbd", { kind: "LVM_THIN", nodes: 3 });
