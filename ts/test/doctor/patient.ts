// SPDX-License-Identifier: AGPL-3.0-or-later
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { ExecutionContext } from "ava";
import { JovianSimulator, type SimulatorOptions } from "../../sim/joviandss/index.js";
import type { Leftover } from "../../src/arrays/contract.js";
import { joviandssType, openDriver } from "../../src/arrays/joviandss/type.js";
import { storageType } from "../../src/arrays/registry.js";
import { fail } from "../../src/common/errors.js";
import { examine, type Reported } from "../../src/doctor/examine.js";
import type { Machine, Section } from "../../src/doctor/machine.js";
import { Storages } from "../../src/plugin/storage.js";

export const password = "never-to-be-shown";
const initiator = "iqn.1993-08.org.debian:01:aaaa";
const plugin = "usr/share/perl5/PVE/Storage/Custom";

/** A class of ours, as it is installed. */
function classOf(type: string): string {
  return `package X;\nuse base qw(PVE::Storage::Custom::Blockio::Base);\nsub type {\n    return '${type}';\n}\n1;\n`;
}

/** A node in the best of health, on which faults are planted: fake trees for its files, simulators for its arrays. */
export class Patient {
  readonly root = mkdtempSync(join(tmpdir(), "blockio-patient-"));
  readonly cluster = join(this.root, "etc/pve");
  multipath: "running" | "off" | "silent" = "running";
  answers: () => Promise<{ version: string; protocol: number }> = async () => ({
    version: "1.2.3",
    protocol: 1,
  });
  left: Leftover[] = [];
  sections: Section[] = [];
  /** How long an array is waited for, in milliseconds. A loaded machine is no silent array. */
  probeMs = 20_000;

  /** Without storages. Its cluster is that of this process: one patient at a time. */
  constructor(t: ExecutionContext) {
    t.teardown(() => rmSync(this.root, { recursive: true, force: true }));
    process.env["PVE_BLOCKIO_CLUSTER_DIR"] = this.cluster;
    process.env["PVE_BLOCKIO_STORPOOL_ROOT"] = this.root;
    for (const name of ["iscsiadm", "lvm"]) this.program(name);
    this.process(100, "iscsid");
    this.process(101, "systemd-udevd");
    this.file("run/udev/control", "");
    this.file("etc/iscsi/initiatorname.iscsi", `## comment\nInitiatorName=${initiator}\n`);
    this.file("etc/multipath.conf", "defaults {\n\tfind_multipaths strict\n\tno_path_retry 12\n}\n");
    this.file(
      "etc/lvm/lvm.conf",
      `devices {\n  # global_filter = [ "a|.*|" ]\n  global_filter = ["r|/dev/zd.*|","r|^/dev/mapper/2${"[0-9a-f]".repeat(16)}|",\n "r|^/dev/sp-|", "r|^/dev/storpool|"]\n}\n`,
    );
    for (const type of ["Joviandss", "Storpool", "Blockio"])
      this.file(`${plugin}/${type}Plugin.pm`, classOf(type.toLowerCase()));
    this.file(`${plugin}/Other.pm`, "package Other; sub type { return 'other' } 1;");
    this.record("node-a", { version: "1.2.3", initiator });
    this.record("node-b", { version: "1.2.3", initiator: "iqn.1993-08.org.debian:01:bbbb" });
    this.file("etc/pve/storage.cfg", "");
  }

  file(path: string, text: string): string {
    const whole = join(this.root, path);
    mkdirSync(dirname(whole), { recursive: true });
    writeFileSync(whole, text);
    return whole;
  }

  remove(path: string): void {
    rmSync(join(this.root, path), { recursive: true });
  }

  program(name: string): void {
    chmodSync(this.file(`usr/sbin/${name}`, "#!/bin/sh\n"), 0o755);
  }

  process(pid: number, name: string): void {
    this.file(`proc/${pid}/comm`, `${name}\n`);
  }

  /** What the service of a node has told the cluster. */
  record(node: string, { version, initiator: name }: { version: string; initiator?: string }): void {
    const record = { version, protocol: 1, ...(name === undefined ? {} : { initiator: name }) };
    this.file(`etc/pve/nodes/${node}/pve-blockio.json`, JSON.stringify(record));
  }

  /** A simulated JovianDSS, a listener at its portals, and a storage on it; `more` is laid over the section. */
  async jovian(
    t: ExecutionContext,
    more: Record<string, unknown> = {},
    options: SimulatorOptions = {},
  ): Promise<{ sim: JovianSimulator; portals: Server[] }> {
    const sim = await JovianSimulator.start({ password, ...options });
    const portals = await listening(["127.0.0.1", "127.0.0.2"]);
    t.teardown(async () => {
      for (const server of portals) server.close();
      await sim.close();
    });
    const { port } = (portals[0] as Server).address() as AddressInfo;
    this.file("etc/pve/priv/storage/joviandss/jdss.pw", `user_password ${password}\n`);
    this.sections.push({
      storeid: "jdss",
      scfg: {
        type: "joviandss",
        pool_name: "Pool-0",
        ssl_cert_verify: 0,
        control_addresses: sim.addresses.join(","),
        control_port: sim.port,
        data_port: port,
        multipath: 1,
        target_prefix: "iqn.2025-06.proxmox.pool-0:",
        content: { images: true },
        log_file: join(this.root, "log"),
        ...more,
      },
    });
    return { sim, portals };
  }

  examine(limitMs = 60_000): Promise<Reported[]> {
    const machine: Machine = {
      root: this.root,
      cluster: this.cluster,
      node: "node-a",
      version: "1.2.3",
      ping: () => this.answers(),
      leftovers: async () => this.left,
      multipathStatus: async () => this.multipath,
    };
    const type = {
      ...joviandssType,
      createDriver: (...[scfg, environment]: Parameters<typeof joviandssType.createDriver>) =>
        openDriver(scfg, environment, {
          initiator: async () => initiator,
          pace: { limits: { probeMs: this.probeMs } },
        }),
    };
    const storages = new Storages({ name: "node-a", looksOnly: true }, undefined, (name) =>
      name === "joviandss" ? type : storageType(name),
    );
    return examine(machine, this.sections, storages, limitMs).finally(() => storages.close());
  }
}

/** Nobody answers on the socket. */
export async function nobody(): Promise<never> {
  throw fail("unreachable", "bridge '/run/x': nothing listens; see systemctl status pve-blockio.service");
}

/** Servers that accept connections, all at one port. One that is free at one address can be taken at another. */
async function listening(addresses: readonly string[], tries = 5): Promise<Server[]> {
  const servers: Server[] = [];
  let port = 0;
  try {
    for (const host of addresses) {
      const server = createServer((socket) => socket.destroy());
      await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, host, resolve));
      port = (server.address() as AddressInfo).port;
      servers.push(server);
    }
  } catch (error) {
    for (const server of servers) server.close();
    if (tries === 0 || (error as { code?: string }).code !== "EADDRINUSE") throw error;
    return listening(addresses, tries - 1);
  }
  return servers;
}
