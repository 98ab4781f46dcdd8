// SPDX-License-Identifier: AGPL-3.0-or-later
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { clusterDirectory } from "../common/cluster.js";
import { codeOf, during } from "../common/errors.js";
import type { VolumeRef } from "./contract.js";
import { hasDisk, lockOf, mentions, type PreparedSnapshot, preparedSnapshot } from "./guest-config.js";

/** What the PVE cluster says of a guest; read from its file system, which every node sees alike. */
export interface Guest {
  /** The node that owns its configuration. */
  readonly node: string;
  /** Its lock, for instance `migrate` or `snapshot-delete`. */
  readonly lock?: string;
  /** What the HA manager says of it. */
  readonly ha?: { readonly state: string; readonly node?: string };
}

const kinds = ["qemu-server", "lxc"] as const;

/** A guest's state, and the cluster's name. The directory is that of the cluster file system, `/etc/pve`. */
export class Cluster {
  constructor(private readonly root = clusterDirectory()) {}

  /** Undefined when no node has a configuration of it: a guest in the making, or one that is gone. */
  async guest(vmid: number): Promise<Guest | undefined> {
    return during(
      `read the state of guest ${vmid}`,
      // Twice: a configuration that moves from a node not looked at yet to one behind us would not be seen.
      async () => (await this.#find(vmid)) ?? (await this.#find(vmid)),
    );
  }

  async #find(vmid: number): Promise<Guest | undefined> {
    for (const node of await this.nodes()) {
      for (const kind of kinds) {
        const config = await readIfThere(join(this.root, "nodes", node, kind, `${vmid}.conf`));
        if (config === undefined) continue;
        const lock = lockOf(config);
        const ha = await this.#ha(`${kind === "lxc" ? "ct" : "vm"}:${vmid}`);
        return { node, ...(lock === undefined ? {} : { lock }), ...(ha ? { ha } : {}) };
      }
    }
    return undefined;
  }

  /**
   * The snapshot that PVE is taking of a guest of this node right now: its configuration says so before the first volume's
   * turn comes. Undefined when none of that name is under way.
   */
  async preparing(node: string, vmid: number, snap: string): Promise<PreparedSnapshot | undefined> {
    return during(`read the configuration of guest ${vmid}`, async () => {
      for (const kind of kinds) {
        const config = await readIfThere(join(this.root, "nodes", node, kind, `${vmid}.conf`));
        if (config !== undefined) return preparedSnapshot(config, kind, snap);
      }
      return undefined;
    });
  }

  /**
   * Whether a guest that is being migrated away from a node has a volume among its disks, whatever the volume's name says of its
   * owner. `volid` is `STOREID:VOLNAME`.
   */
  async migrates(node: string, volid: string): Promise<boolean> {
    return during(`read the configurations of the guests of node '${node}'`, async () => {
      // Only virtual machines are migrated while they run.
      const directory = join(this.root, "nodes", node, "qemu-server");
      for (const name of await listIfThere(directory)) {
        if (!/^[1-9][0-9]*\.conf$/.test(name)) continue;
        const config = await readIfThere(join(directory, name));
        if (config !== undefined && lockOf(config) === "migrate" && hasDisk(config, "qemu-server", volid))
          return true;
      }
      return false;
    });
  }

  /** A guest of that node owns the volume, or has its name in the configuration, whatever the storage is called there. */
  async mayUse(host: string, { vmid, volname }: Pick<VolumeRef, "vmid" | "volname">): Promise<boolean> {
    return during(`read the configurations of the guests of node '${host}'`, async () => {
      const node = (await this.nodes()).find((one) => one.toLowerCase() === host.toLowerCase());
      if (node === undefined) return false;
      for (const kind of kinds) {
        const directory = join(this.root, "nodes", node, kind);
        for (const file of await listIfThere(directory)) {
          if (file === `${vmid}.conf`) return true;
          const config = file.endsWith(".conf") ? await readIfThere(join(directory, file)) : undefined;
          if (config !== undefined && mentions(config, volname)) return true;
        }
      }
      return false;
    });
  }

  /** The nodes that have guests, by their names in PVE. */
  nodes(): Promise<string[]> {
    return listIfThere(join(this.root, "nodes"));
  }

  /** The name of the cluster; undefined on a node that is in none. */
  async name(): Promise<string | undefined> {
    const config = await readIfThere(join(this.root, "corosync.conf"));
    return /^\s*cluster_name:\s*(\S+)/m.exec(config ?? "")?.[1];
  }

  async #ha(service: string): Promise<{ state: string; node?: string } | undefined> {
    const text = await readIfThere(join(this.root, "ha", "manager_status"));
    if (text === undefined || text.trim() === "") return undefined;
    const status = JSON.parse(text) as {
      service_status?: Record<string, { state?: string; node?: string }>;
    };
    const found = status.service_status?.[service];
    if (found?.state === undefined) return undefined;
    return { state: found.state, ...(found.node === undefined ? {} : { node: found.node }) };
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  return readFile(path, "utf8").catch((error: unknown) => {
    if (codeOf(error) === "absent") return undefined;
    throw error;
  });
}

async function listIfThere(directory: string): Promise<string[]> {
  return readdir(directory).catch((error: unknown) => {
    if (codeOf(error) === "absent") return [];
    throw error;
  });
}
