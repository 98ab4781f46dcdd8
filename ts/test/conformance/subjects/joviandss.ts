// SPDX-License-Identifier: AGPL-3.0-or-later
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Agent, request } from "undici";
import { JovianSimulator, type SimulatorOptions } from "../../../sim/joviandss/index.js";
import type { ClientPace } from "../../../src/arrays/joviandss/client.js";
import { joviandssType, openDriver } from "../../../src/arrays/joviandss/type.js";
import type { NodeDevices } from "../../../src/plugin/storage.js";
import { LoopInitiator } from "../../arrays/joviandss/initiator.js";
import { storeid } from "../session.js";
import type { Outage, Place, Section, Site, Subject } from "../subject.js";
import { cannotMount, type Mounted, mountImage } from "./image.js";

const password = "conformance-secret";
const chapPassword = "conformance-chap";

/** One storage on a simulated array of its own. */
class JoviandssPlace implements Place {
  readonly section: Section;
  readonly #nodes = new Map<string, NodeDevices>();

  private constructor(
    name: string,
    private readonly sim: JovianSimulator,
    private readonly top: string,
    more: Section,
  ) {
    this.section = {
      type: "joviandss",
      pool_name: "Pool-0",
      user_password: password,
      ssl_cert_verify: 0,
      control_addresses: sim.addresses.join(","),
      control_port: sim.port,
      target_prefix: `iqn.2025-06.proxmox.${name}:`,
      content: { images: true, rootdir: true },
      log_file: join(top, "log"),
      ...more,
    };
  }

  static async open(
    name: string,
    parent: string,
    options: SimulatorOptions,
    more: Section,
  ): Promise<JoviandssPlace> {
    const top = join(parent, name);
    mkdirSync(join(top, "data"), { recursive: true });
    const sim = await JovianSimulator.start({
      data: join(top, "data"),
      password,
      pools: [{ name: "Pool-0", size: 8 * 2 ** 40 }],
      ...options,
    });
    return new JoviandssPlace(name, sim, top, more);
  }

  devices(node: string): NodeDevices {
    const known = this.#nodes.get(node);
    if (known) return known;
    const initiator = new LoopInitiator(this.sim, initiatorOf(node));
    const made = { connectorOf: () => initiator, links: join(this.top, "run", node) };
    this.#nodes.set(node, made);
    return made;
  }

  path(volname: string, snap: string | null): string {
    return join(this.devices("node-a").links, storeid, snap === null ? volname : `${volname}@${snap}`);
  }

  /** Targets are left out: a volume's comes with its first activation and goes with it; what is forgotten breaks a rule. */
  async inventory(): Promise<string[]> {
    const { volumes, snapshots } = this.sim.pool();
    return [
      ...[...volumes.values()].map(({ name, volsize, sparse }) => `volume ${name} ${volsize} ${sparse}`),
      ...[...snapshots].map(({ name, volume, volsize }) => `snapshot ${volume.name}@${name} ${volsize}`),
    ].sort();
  }

  async plant(what: string): Promise<() => Promise<void>> {
    const names = foreign[what];
    if (!names) throw new Error(`unknown foreign thing '${what}'`);
    for (const name of names) await this.#ask("POST", "volumes", { name, size: "1048576", sparse: true });
    return async () => {
      for (const name of names) await this.#ask("DELETE", `volumes/${name}`, {});
    };
  }

  async outage(how: string): Promise<Outage> {
    if (how === "each connection breaks") {
      this.sim.inject({ kind: "reset-before", count: 1_000_000 });
      return { section: this.section, end: async () => this.sim.faults.clear() };
    }
    for (const address of this.sim.addresses) await this.sim.setAddress(address, "refusing");
    return {
      section: this.section,
      end: async () => {
        for (const address of this.sim.addresses) await this.sim.setAddress(address, "open");
      },
    };
  }

  async slow(ms: number): Promise<() => void> {
    this.sim.inject({ kind: "delay", ms, count: 1_000_000 });
    return () => this.sim.faults.clear();
  }

  async hold(path: string): Promise<() => Promise<void>> {
    const handle = await open(path, "r");
    return () => handle.close();
  }

  async occupy(volname: string): Promise<() => Promise<void>> {
    const prefix = this.section["cluster_prefix"];
    const name = `v_${prefix === undefined ? "" : `${prefix}_`}${volname}`;
    await this.#ask("POST", "nas-volumes", { name, quota: "1048576" });
    return () => this.#ask("DELETE", `nas-volumes/${name}`, {});
  }

  async remove(): Promise<void> {
    const wrong = this.sim.check({ volumes: [] });
    await this.sim.close();
    rmSync(this.top, { recursive: true, force: true });
    if (wrong.length > 0) throw new Error(wrong.join("; "));
  }

  async #ask(method: string, path: string, body: object): Promise<void> {
    const dispatcher = new Agent({ connect: { rejectUnauthorized: false } });
    try {
      const answer = await request(
        `https://${this.sim.addresses[0]}:${this.sim.port}/api/${this.sim.behaviour.versions.at(-1)}/pools/Pool-0/${path}`,
        {
          method: method as "POST",
          dispatcher,
          body: JSON.stringify(body),
          headers: {
            authorization: `Basic ${Buffer.from(`${this.sim.user}:${password}`).toString("base64")}`,
            "content-type": "application/json",
          },
        },
      );
      const text = await answer.body.text();
      if (answer.statusCode >= 300) throw new Error(`${method} ${path}: ${answer.statusCode} ${text}`);
    } finally {
      await dispatcher.close();
    }
  }
}

/** Apart from PVE's place for them, which storages of one name share in this process. */
function secretsDirectory(): string {
  return join(process.env["PVE_BLOCKIO_CLUSTER_DIR"] ?? "", "kept");
}

function initiatorOf(node: string): string {
  return `iqn.1993-08.org.debian:01:${node}`;
}

/** What others may keep in the pool, by the names of its zvols. */
const foreign: Readonly<Record<string, readonly string[]>> = {
  "volumes with names of no volume": [
    "data",
    "vm-100-disk-5",
    "v_",
    "v_notes",
    "v_vm-100",
    "x_vm-100-disk-5",
  ],
  "volumes of another cluster": ["v_pveB_vm-100-disk-5", "v_pveB_base-100-disk-6"],
  "what another driver hides": ["t_vm-100-disk-5", "vb_OZWS2MJQGAWWI2LTNMWTK---"],
};

/** Replies that do not come are not waited for as on a real array. */
export const pace: ClientPace = {
  limits: { connectMs: 1_000, querySilenceMs: 1_000, pausesMs: [20, 40, 80, 160] },
  volumes: { resizeMs: 2_000, renameMs: 2_000 },
  targetsMs: 2_000,
};

const btrfs = { type: "btrfs", mkfs: ["mkfs.btrfs", "-q"] } as const;
const unavailable = cannotMount(btrfs);

/** A subject of type `joviandss` on the simulator; `more` is laid over the section. */
export function joviandssSubject(name: string, options: SimulatorOptions = {}, more: Section = {}): Subject {
  return {
    name,
    type: "joviandss",
    storageType: {
      ...joviandssType,
      createDriver: (scfg, environment) =>
        openDriver(scfg, environment, {
          pace,
          secrets: secretsDirectory(),
          initiator: async () => initiatorOf(environment.host.name),
        }),
    },
    secrets: { user_password: password, chap_user_password: chapPassword },
    unavailable,
    capabilities: {
      snapshots: true,
      linkedClones: true,
      clonesDependOnBase: true,
      rename: true,
      rollbackToAny: false,
      zeroedOnCreate: true,
      atomicNames: true,
      directories: false,
    },
    lacks: { orphanSnapshot: "a snapshot cannot be there without its volume" },
    sizeUnit: 16_384n,
    largest: 1n << 40n,
    malformed: {
      "no address": { control_addresses: undefined },
      "an address that is a name": { control_addresses: "array.example" },
      "a block size that no array has": { block_size: "3K" },
      "CHAP without a user": { chap_enabled: 1 },
      "a prefix with capitals": { target_prefix: "iqn.2025-06.Proxmox" },
    },
    foreign: Object.keys(foreign),
    outages: ["no address is at home", "each connection breaks"],
    fileName: (stem) => stem,
    volname: (_vmid, stem) => stem,
    open: () => openSite(options, more),
  };
}

async function openSite(options: SimulatorOptions, more: Section): Promise<Site> {
  const image: Mounted = await mountImage(btrfs, 4 * 2 ** 30);
  const top = mkdtempSync(join(image.dir, "joviandss-"));
  const cluster = mkdtempSync(join(tmpdir(), "blockio-cluster-"));
  writeFileSync(join(cluster, "storage.cfg"), "");
  // In the environment of this process, which all places share.
  process.env["PVE_BLOCKIO_CLUSTER_DIR"] = cluster;
  mkdirSync(secretsDirectory());
  for (const name of [storeid, "another-name"])
    writeFileSync(join(secretsDirectory(), `${name}.pw`), `chap_user_password ${chapPassword}\n`);
  let number = 0;
  const next = (change: SimulatorOptions = {}, section: Section = {}) => {
    number++;
    // Identities of disks are unique on a node.
    const own = { seed: number, ...options, ...change };
    return JoviandssPlace.open(`conf-${number}`, top, own, { ...more, ...section });
  };
  return {
    place: () => next(),
    small: () => next({ pools: [{ name: "Pool-0", size: 16 << 20 }] }, { thin_provisioning: 0 }),
    async close() {
      spawnSync("sync");
      await image.unmount();
      rmSync(cluster, { recursive: true, force: true });
    },
  };
}

export const subject = joviandssSubject("joviandss");
