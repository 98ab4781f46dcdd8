// SPDX-License-Identifier: AGPL-3.0-or-later
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SimulatorOptions } from "../../../sim/storpool/index.js";
import { StorPoolSimulator } from "../../../sim/storpool/index.js";
import type { Pace } from "../../../src/arrays/storpool/session.js";
import { openDriver, storpoolType } from "../../../src/arrays/storpool/type.js";
import type { Outage, Place, Section, Site, Subject } from "../subject.js";
import { cannotMount, type Mounted, mountImage } from "./image.js";

/** Nodes of the cluster, with their client ids. */
const clients = { "node-a": 11, "node-b": 12, "node-c": 13 } as const;
const slug = "conformance";

/** One storage on a simulated cluster of its own. */
class StorpoolPlace implements Place {
  readonly section: Section;

  private constructor(
    template: string,
    private readonly sim: StorPoolSimulator,
    private readonly top: string,
  ) {
    this.section = { type: "storpool", template, content: { images: true, rootdir: true } };
  }

  static async open(template: string, parent: string, options: SimulatorOptions): Promise<StorpoolPlace> {
    const top = join(parent, template);
    for (const dir of ["data", "dev", "root/etc"]) mkdirSync(join(top, dir), { recursive: true });
    const sim = await StorPoolSimulator.start({
      templates: [template],
      clients: Object.values(clients),
      data: join(top, "data"),
      devices: join(top, "dev"),
      ...options,
    });
    writeFileSync(join(top, "root/etc/storpool.conf"), configuration(sim.port, sim.token));
    return new StorpoolPlace(template, sim, top);
  }

  path(volname: string, snap: string | null): string {
    const { vmid, disk, base } = parts(volname);
    const volume = this.#find(
      (tags) =>
        tags["pve-vm"] === vmid &&
        tags["pve-disk"] === disk &&
        !tags["pve-snap"] === !snapOf(volname) &&
        (tags["pve-base"] === "1") === base,
    );
    const object =
      snap === null
        ? volume
        : this.#find((tags) => tags["pve-snap"] === snap && tags["pve-snap-v"] === volume);
    return join(this.top, "dev", String(clients["node-a"]), "storpool-byid", object ?? "absent");
  }

  #find(is: (tags: Record<string, string>) => boolean): string | undefined {
    return [...this.sim.state.objects.values()].find((object) => !object.deleted && is(object.tags))
      ?.globalId;
  }

  async inventory(): Promise<string[]> {
    return [...this.sim.state.objects.values()]
      .filter(({ deleted }) => !deleted)
      .map(({ kind, tags, size }) => {
        const { "pve-blockio-request": _, ...own } = tags;
        return `${kind} ${size} ${JSON.stringify(Object.entries(own).sort())}`;
      })
      .sort();
  }

  async plant(what: string, vmid: number): Promise<() => Promise<void>> {
    throw new Error(`no ${what} for ${vmid}`);
  }

  async outage(how: string): Promise<Outage> {
    if (how === "the service refuses connections") {
      await this.sim.refuseConnections();
      return { section: this.section, end: () => this.sim.listen() };
    }
    const kind = how === "each connection breaks" ? "reset-before" : "bad-gateway";
    this.sim.inject({ kind, count: 1_000_000 });
    return { section: this.section, end: async () => this.sim.faults.clear() };
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
    const wrong = this.sim.check();
    await this.sim.close();
    rmSync(this.top, { recursive: true, force: true });
    if (wrong.length > 0) throw new Error(wrong.join("; "));
  }
}

function configuration(port: number, token: string): string {
  const nodes = Object.entries(clients).map(([node, id]) => `[${node}]\nSP_OURID=${id}\n`);
  return `SP_API_HTTP_HOST=127.0.0.1\nSP_API_HTTP_PORT=${port}\nSP_AUTH_TOKEN=${token}\n${nodes.join("")}`;
}

function snapOf(volname: string): string | undefined {
  return /^vm-[0-9]+-state-(.+)\.raw$/.exec(volname)?.[1];
}

function parts(volname: string): { vmid: string; disk: string; base: boolean } {
  const [, role = "", vmid = "", what = ""] = /^(vm|base)-([0-9]+)-(.+)\.raw$/.exec(volname) ?? [];
  const disk = what.startsWith("state-") ? "state" : what.replace(/^disk-/, "");
  return { vmid, disk, base: role === "base" };
}

/** Replies that do not come are not waited for as on a real cluster. */
const pace: Pace = {
  pausesMs: [20, 40, 80, 160],
  looksMs: [0, 20, 100],
  closing: { times: 100, pauseMs: 50 },
};

const btrfs = { type: "btrfs", mkfs: ["mkfs.btrfs", "-q"] } as const;
const unavailable = cannotMount(btrfs);

/** A subject of type `storpool` on the simulator. */
export function storpoolSubject(name: string, options: SimulatorOptions = {}): Subject {
  return {
    name,
    type: "storpool",
    storageType: {
      ...storpoolType,
      createDriver: (scfg, environment) => openDriver(scfg, environment, pace),
    },
    unavailable,
    capabilities: {
      snapshots: true,
      linkedClones: true,
      clonesDependOnBase: false,
      rename: true,
      rollbackToAny: true,
      zeroedOnCreate: true,
      atomicNames: true,
      directories: false,
    },
    lacks: {
      occupy: "no name is taken before its volume exists",
      orphanSnapshot: "snapshots hang on the global id of their volume, which is never used again",
    },
    sizeUnit: 512n,
    largest: 1n << 40n,
    malformed: {
      "a template with a slash": { template: "a/b" },
      "extra tags without a value": { "extra-tags": "x" },
      "extra tags of our own": { "extra-tags": "pve-loc=x" },
    },
    foreign: [],
    outages: ["the service refuses connections", "each connection breaks", "a proxy answers instead"],
    takes: (stem) => /^vm-[0-9]+-(?:disk-[0-9]+|cloudinit|state-.*)$/.test(stem),
    fileName: (stem) => stem,
    volname: (_vmid, stem) => `${stem}.raw`,
    plain: (text) =>
      text
        .replaceAll(
          /snap-([0-9]+)-state-(.+?)-sp-[a-z0-9]+\.[a-z0-9]+\.[a-z0-9]+\.raw/g,
          "vm-$1-state-$2.raw",
        )
        .replaceAll(/-sp-[a-z0-9]+\.[a-z0-9]+\.[a-z0-9]+\.raw/g, ".raw"),
    open: () => openSite(options),
  };
}

async function openSite(options: SimulatorOptions): Promise<Site> {
  const image: Mounted = await mountImage(btrfs, 4 * 2 ** 30);
  const top = mkdtempSync(join(image.dir, "storpool-"));
  const cluster = mkdtempSync(join(tmpdir(), "blockio-cluster-"));
  writeFileSync(join(cluster, "corosync.conf"), `totem {\n  cluster_name: ${slug}\n}\n`);
  // In the environment of this process, which all places share.
  process.env["PVE_BLOCKIO_STORPOOL_ROOT"] = join(top, "{template}", "root");
  process.env["PVE_BLOCKIO_DEVICE_DIR"] = join(top, "{template}", "dev", "{client}");
  process.env["PVE_BLOCKIO_CLUSTER_DIR"] = cluster;
  let number = 0;
  return {
    place: () => StorpoolPlace.open(`conf-${++number}`, top, options),
    small: () => {
      const name = `conf-${++number}`;
      return StorpoolPlace.open(name, top, { ...options, templates: [{ name, capacity: 16 << 20 }] });
    },
    async close() {
      spawnSync("sync");
      await image.unmount();
      rmSync(cluster, { recursive: true, force: true });
    },
  };
}

export const subject = storpoolSubject("storpool");
