// SPDX-License-Identifier: AGPL-3.0-or-later
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { ExecutionContext } from "ava";
import { type JournalEntry, type SimulatorOptions, StorPoolSimulator } from "../../../sim/storpool/index.js";
import type { VolumeRef } from "../../../src/arrays/contract.js";
import { StorpoolDriver } from "../../../src/arrays/storpool/driver.js";
import { parseSection } from "../../../src/arrays/storpool/schema.js";
import type { Pace } from "../../../src/arrays/storpool/session.js";
import { storpoolType } from "../../../src/arrays/storpool/type.js";
import type { Context } from "../../../src/common/context.js";
import { createLogger } from "../../../src/common/log.js";
import { VolumeNames } from "../../../src/plugin/volname.js";

export const storeid = "sp";

/** The nodes, with the ids of their clients. */
export const clientOf = { "node-a": 11, "node-b": 12 } as const;
export type NodeName = keyof typeof clientOf;

const names = new VolumeNames(storpoolType);
/** No driver waits for long. */
const brisk: Pace = { pausesMs: [1, 1, 1, 1], looksMs: [0, 1, 5], closing: { times: 25, pauseMs: 5 } };
let count = 0;

/** What a test says of a guest. */
export interface GuestState {
  readonly node: NodeName;
  readonly lock?: string;
  readonly ha?: { readonly state: string; readonly node: NodeName };
}

/** A simulated StorPool cluster without devices, a cluster file system, and a driver on each of two nodes. */
export class Nodes {
  readonly ctx: Context;
  readonly log: string[] = [];

  private constructor(
    readonly sim: StorPoolSimulator,
    private readonly pve: string,
    readonly drivers: Readonly<Record<NodeName, StorpoolDriver>>,
  ) {
    this.ctx = {
      signal: new AbortController().signal,
      log: createLogger({ level: "debug", write: (line) => this.log.push(line) }),
    };
  }

  static async start(
    t: ExecutionContext,
    options: SimulatorOptions = {},
    { pace = brisk, settings = "" }: { pace?: Pace; settings?: string } = {},
  ): Promise<Nodes> {
    // Each gets a template of its own: it leads to the configuration, and the environment is that of all tests.
    const template = `nodes-${++count}`;
    const sim = await StorPoolSimulator.start({ templates: [template], clients: [11, 12], ...options });
    const pve = mkdtempSync(join(tmpdir(), "blockio-pve-"));
    const drivers = { "node-a": driver("node-a"), "node-b": driver("node-b") };
    t.teardown(async () => {
      await Promise.all(Object.values(drivers).map((one) => one.close()));
      await sim.close();
      for (const dir of [pve, join(roots, template)]) rmSync(dir, { recursive: true, force: true });
    });
    write(join(pve, "corosync.conf"), "totem {\n  cluster_name: two\n}\n");
    const sections = Object.entries(clientOf).map(([node, id]) => `[${node}]\nSP_OURID=${id}\n`);
    write(
      join(roots, template, "etc/storpool.conf"),
      `SP_API_HTTP_HOST=${sim.host}\nSP_API_HTTP_PORT=${sim.port}\nSP_AUTH_TOKEN=${sim.token}\n${settings}${sections.join("")}`,
    );
    return new Nodes(sim, pve, drivers);

    function driver(name: NodeName): StorpoolDriver {
      process.env["PVE_BLOCKIO_CLUSTER_DIR"] = pve;
      const section = parseSection({ type: "storpool", template }, storeid);
      const compose = ({ vmid, name: stem }: { vmid: number; name: string }) => names.compose(vmid, stem);
      const parse = (volname: string) => names.parse(volname);
      return new StorpoolDriver(section, { storeid, host: { name }, parse, compose }, pace);
    }
  }

  /** Makes a disk of a guest. */
  disk(vmid = 100, disk = 0): Promise<VolumeRef> {
    return this.drivers["node-a"].createVolume(
      this.ctx,
      names.compose(vmid, `vm-${vmid}-disk-${disk}`),
      1n << 20n,
    );
  }

  /** Puts a guest's configuration where it belongs, and the HA manager's word. */
  guest(vmid: number, { node, lock, ha }: GuestState): void {
    for (const name of Object.keys(clientOf)) rmSync(this.#config(name, vmid), { force: true });
    write(this.#config(node, vmid), `${lock === undefined ? "" : `lock: ${lock}\n`}cores: 1\n`);
    const service_status = ha === undefined ? {} : { [`vm:${vmid}`]: ha };
    write(join(this.pve, "ha/manager_status"), JSON.stringify({ service_status }));
  }

  /** Puts a guest's whole configuration on a node. */
  configure(node: NodeName, vmid: number, config: string, kind: "qemu-server" | "lxc" = "qemu-server"): void {
    write(join(this.pve, "nodes", node, kind, `${vmid}.conf`), config);
  }

  activate(node: NodeName, ref: VolumeRef, ctx: Context = this.ctx): Promise<unknown> {
    return this.drivers[node].publish(ctx, ref, undefined, { name: node });
  }

  deactivate(node: NodeName, ref: VolumeRef, ctx: Context = this.ctx): Promise<boolean> {
    return this.drivers[node].unpublish(ctx, ref, undefined, { name: node });
  }

  /** Says that a node's QEMU opens or closes a volume. */
  open(node: NodeName, ref: VolumeRef, open = true): void {
    this.sim.setOpen(clientOf[node], gidOf(ref), open);
  }

  /** The nodes that have a volume. */
  holders(ref: VolumeRef): string[] {
    const rows = this.sim.state.attachments.filter(({ object }) => object.globalId === gidOf(ref));
    return Object.entries(clientOf)
      .filter(([, id]) => rows.some(({ client }) => client === id))
      .map(([node]) => node);
  }

  /** Every change of attachments that was asked for, without the object. */
  changes(): Change[] {
    return this.sim.journal.of("VolumesReassignWait", "VolumesReassign").flatMap(changesIn);
  }

  #config(node: string, vmid: number): string {
    return join(this.pve, "nodes", node, "qemu-server", `${vmid}.conf`);
  }
}

/** One entry of a request that changes attachments. */
export interface Change {
  readonly rw?: readonly number[];
  readonly detach?: readonly number[] | "all";
  readonly force?: boolean;
}

function changesIn({ body }: JournalEntry): Change[] {
  const { reassign } = body as { reassign: (Change & { volume?: string; snapshot?: string })[] };
  return reassign.map(({ volume: _volume, snapshot: _snapshot, ...change }) => change);
}

/** The names as PVE would ask for them, parsed. */
export function refOf(vmid: number, name: string): VolumeRef {
  return names.compose(vmid, name);
}

/** The global id in a whole name. */
export function gidOf({ name }: VolumeRef): string {
  const gid = /-sp-([a-z0-9.]+)\.(?:raw|iso)$/.exec(name)?.[1];
  if (gid === undefined) throw new Error(`no global id in ${name}`);
  return gid;
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

const roots = mkdtempSync(join(tmpdir(), "blockio-storpool-"));
process.on("exit", () => rmSync(roots, { recursive: true, force: true }));
process.env["PVE_BLOCKIO_STORPOOL_ROOT"] = join(roots, "{template}");
