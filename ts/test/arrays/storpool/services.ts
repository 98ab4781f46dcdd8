// SPDX-License-Identifier: AGPL-3.0-or-later
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { ExecutionContext } from "ava";
import { StorPoolSimulator } from "../../../sim/storpool/index.js";
import { dispatch } from "../../../src/bridge/dispatch.js";
import { requestSchema } from "../../../src/bridge/protocol.js";
import { silentLogger } from "../../../src/common/log.js";
import { Storages } from "../../../src/plugin/storage.js";
import { clientOf, type GuestState, gidOf, type NodeName, refOf } from "./nodes.js";

/** A simulated cluster with devices, and the service of each of two nodes with a device directory of its own. */
export class Services {
  private constructor(
    readonly sim: StorPoolSimulator,
    private readonly top: string,
    private readonly services: Readonly<Record<NodeName, Storages>>,
  ) {}

  /** One at a time: the environment of the process leads to its files. */
  static async start(t: ExecutionContext): Promise<Services> {
    const top = mkdtempSync(join(tmpdir(), "blockio-services-"));
    for (const dir of ["data", "dev"]) mkdirSync(join(top, dir));
    const sim = await StorPoolSimulator.start({
      templates: ["nvme"],
      clients: Object.values(clientOf),
      data: join(top, "data"),
      devices: join(top, "dev"),
    });
    const services = {
      "node-a": new Storages({ name: "node-a" }),
      "node-b": new Storages({ name: "node-b" }),
    };
    t.teardown(async () => {
      await Promise.all(Object.values(services).map((one) => one.close()));
      await sim.close();
      rmSync(top, { recursive: true, force: true });
    });
    const sections = Object.entries(clientOf).map(([node, id]) => `[${node}]\nSP_OURID=${id}\n`);
    write(
      join(top, "root/etc/storpool.conf"),
      `SP_API_HTTP_HOST=127.0.0.1\nSP_API_HTTP_PORT=${sim.port}\nSP_AUTH_TOKEN=${sim.token}\n${sections.join("")}`,
    );
    write(join(top, "pve/corosync.conf"), "totem {\n  cluster_name: two\n}\n");
    process.env["PVE_BLOCKIO_STORPOOL_ROOT"] = join(top, "root");
    process.env["PVE_BLOCKIO_DEVICE_DIR"] = join(top, "dev/{client}");
    process.env["PVE_BLOCKIO_CLUSTER_DIR"] = join(top, "pve");
    return new Services(sim, top, services);
  }

  /** Asks the service of a node as PVE's Perl does. */
  ask(node: NodeName, method: string, args: object): Promise<unknown> {
    const scfg = { type: "storpool", template: "nvme" };
    const request = requestSchema.parse({ id: 1, method, storeid: "sp", scfg, args });
    const caller = { leases: new Map(), signal: new AbortController().signal, log: silentLogger };
    return dispatch(this.services[node], request, caller);
  }

  /** A disk of guest 100, by name. */
  async disk(): Promise<string> {
    const made = await this.ask("node-a", "alloc_image", {
      vmid: 100,
      format: "raw",
      name: null,
      size: String(1 << 20),
    });
    return (made as { volname: string }).volname;
  }

  activate(node: NodeName, volname: string): Promise<unknown> {
    return this.ask(node, "activate_volume", { volname, snap: null });
  }

  deactivate(node: NodeName, volname: string): Promise<unknown> {
    return this.ask(node, "deactivate_volume", { volname, snap: null });
  }

  guest({ node, lock, ha }: GuestState): void {
    const nodes = join(this.top, "pve/nodes");
    rmSync(nodes, { recursive: true, force: true });
    write(join(nodes, node, "qemu-server/100.conf"), lock === undefined ? "cores: 1\n" : `lock: ${lock}\n`);
    write(
      join(this.top, "pve/ha/manager_status"),
      JSON.stringify({ service_status: ha ? { "vm:100": ha } : {} }),
    );
  }

  path(node: NodeName, volname: string): string {
    return join(this.top, "dev", String(clientOf[node]), "storpool-byid", gidOf(refOf(100, volname)));
  }

  /** The nodes on which the device is. */
  there(volname: string): string[] {
    return Object.keys(clientOf).filter((node) => existsSync(this.path(node as NodeName, volname)));
  }

  /** What a running QEMU has: the device, open for writing. */
  async open(node: NodeName, volname: string): Promise<Disk> {
    const file = await open(this.path(node, volname), "r+");
    return {
      write: async (text) => {
        await file.write(Buffer.from(text), 0, text.length, 0);
        await file.sync();
      },
      read: async (length) => {
        // Another node writes too: what this one has cached is not asked.
        const fresh = await open(this.path(node, volname), "r");
        try {
          return (await fresh.read(Buffer.alloc(length), 0, length, 0)).buffer.toString();
        } finally {
          await fresh.close();
        }
      },
      close: () => file.close(),
    };
  }
}

/** An open device. */
export interface Disk {
  write(text: string): Promise<void>;
  read(length: number): Promise<string>;
  close(): Promise<void>;
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}
