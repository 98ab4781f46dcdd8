// SPDX-License-Identifier: AGPL-3.0-or-later
import { fail } from "../common/errors.js";
import type { Command } from "./options.js";
import { print } from "./output.js";
import { joviandss } from "./sim-joviandss.js";
import { linstor } from "./sim-linstor.js";
import { storpool } from "./sim-storpool.js";
import type { Simulated } from "./sim-values.js";

const simulators = new Map<string | undefined, Simulated>(Object.entries({ joviandss, linstor, storpool }));
const names = [...simulators.keys()].join(", ");

/** Simulators of arrays, for tests and demonstrations without the array. */
export const sim: Command = {
  name: "sim",
  operands: "joviandss|linstor|storpool [OPTION...]",
  summary: "Run a simulated array.",
  details:
    "Prints its addresses when it listens, and ends on a signal. Without --data\nthere are only records of objects; with --devices (root) StorPool's clients and\nLINSTOR's nodes get devices. The password of joviandss is $JOVIANDSS_PASSWORD.",
  hidden: true,
  options: {
    listen: { type: "string", value: "HOST:PORT", help: "listen here; not storpool: HOST,HOST:PORT" },
    data: { type: "string", value: "DIR", help: "keep the objects' data in files here" },
    set: { type: "string", value: "NAME=VALUE", multiple: true, help: "change a switch; values are JSON" },
    fault: { type: "string", value: "NAME=NUMBER", multiple: true, help: "probability of a fault" },
    seed: { type: "string", value: "NUMBER", help: "seed of the faults (default 1)" },
    control: { type: "boolean", help: "answer requests below /sim/" },
    token: { type: "string", value: "TOKEN", help: "expect this token (default $SP_AUTH_TOKEN)" },
    devices: { type: "string", value: "DIR", help: "make the nodes' devices in DIR/NODE" },
    template: { type: "string", value: "NAME[:BYTES]", multiple: true, help: "a template (default nvme)" },
    client: { type: "string", value: "ID[:NODE]", multiple: true, help: "a client (default 11 and 12)" },
    "cluster-id": { type: "string", value: "ID", help: "begin global ids with this (default nzkr.b)" },
    foreign: {
      type: "string",
      value: "LOC:STORAGE",
      help: "add what is not of this storage; linstor: GROUP",
    },
    user: { type: "string", value: "NAME", help: "expect this user (default admin)" },
    pool: { type: "string", value: "NAME[:BYTES]", multiple: true, help: "a pool (default Pool-0)" },
    vip: { type: "string", value: "ADDRESS", multiple: true, help: "an address for data" },
    "data-port": { type: "string", value: "PORT", help: "port of the iSCSI portals (default 3260)" },
    certificate: { type: "string", value: "FILE", help: "write the certificate here" },
    "tls-port": { type: "string", value: "PORT", help: "linstor: port with TLS (0: a free one)" },
    node: { type: "string", value: "NAME[:DIR]", multiple: true, help: "a node (default pve1 to pve3)" },
    "storage-pool": {
      type: "string",
      value: "POOL",
      multiple: true,
      help: "NAME[:KIND[:BYTES]] (default ssd)",
    },
    group: { type: "string", value: "GROUP", multiple: true, help: "NAME[:PLACES[:LAYERS]] (default rg1)" },
    targets: { type: "string", value: "PROGRAM", help: "tell this program of each change of targets" },
  },
  async run(values, operands) {
    const chosen = operands.length === 1 ? simulators.get(operands[0]) : undefined;
    if (!chosen) throw fail("invalid", `name one simulator: ${names}; see pve-blockio sim --help`);
    for (const { own } of simulators.values())
      for (const option of own)
        if (!chosen.own.includes(option) && values[option] !== undefined)
          throw fail("invalid", `--${option} is not an option of ${operands[0]}`);
    const { addresses, close } = await chosen.start(values);
    try {
      const stopped = new Promise<void>((resolve) => {
        for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.once(signal, () => resolve());
      });
      print(`${addresses.join("\n")}\n`);
      await stopped;
    } finally {
      await close();
    }
    return 0;
  },
};
