// SPDX-License-Identifier: AGPL-3.0-or-later
import { hostname } from "node:os";
import type { Leftover } from "../arrays/contract.js";
import { clusterDirectory } from "../common/cluster.js";
import { fail } from "../common/errors.js";
import { findingOf, type Level } from "../common/finding.js";
import type { Reported } from "../doctor/examine.js";
import { BridgeClient, type Section } from "./client.js";
import { type Command, common, configOf, socketOf, text, type Values } from "./options.js";
import { print } from "./output.js";
import { ownSections } from "./section.js";
import { version } from "./version.js";

/** As monitoring programs have it. */
const statuses: Readonly<Record<Level, number>> = { ok: 0, warning: 1, error: 2 };
/** How long the service may look for leftovers, in milliseconds. */
const leftoversMs = 8_000;

export const doctor: Command = {
  name: "doctor",
  operands: "[STOREID...]",
  summary: "Examine node and storages: what is wrong, and what to do about it.",
  details:
    "Changes nothing and ends within half a minute, whatever hangs. Without STOREID\n" +
    "it looks at all storages of pve-blockio's types that are not disabled. Exit\n" +
    "status: 0 all is well, 1 warnings, 2 errors.",
  options: {
    all: { type: "boolean", help: "also show what is well" },
    node: { type: "string", value: "NAME", help: "name of this node (default: the host name)" },
    socket: common.socket,
    config: common.config,
    json: common.json,
  },
  async run(values, operands) {
    // Only this and the service need the drivers.
    const { examine, multipathStatus, Storages, worst } = await import("./service.js");
    const node = text(values, "node") ?? hostname().split(".")[0] ?? "localhost";
    const { sections, unreadable } = await chosen(values, operands);
    const machine = {
      root: "/",
      cluster: clusterDirectory(),
      node,
      version,
      ping: () =>
        asking(values, (client) => client.call<{ version: string; protocol: number }>("ping", undefined)),
      leftovers: ({ storeid, scfg }: { storeid: string; scfg: Readonly<Record<string, unknown>> }) =>
        asking(values, (client) =>
          client.call<Leftover[]>("leftovers", { storeid, scfg: { ...scfg } }, {}, leftoversMs),
        ),
      multipathStatus,
    };
    const examined = await examine(machine, sections, new Storages({ name: node, looksOnly: true }));
    const findings = unreadable ? [unreadable, ...examined] : examined;
    const level = worst(findings);
    if (values["json"] === true) {
      print(`${JSON.stringify({ node, version, level, findings })}\n`);
      return statuses[level];
    }
    const shown = findings.filter((one) => values["all"] === true || one.level !== "ok");
    for (const { storage, check, level: how, text: said, remedy } of shown) {
      print(
        `${how.toUpperCase().padEnd(8)}${storage === undefined ? `node ${node}` : `storage ${storage}`}: ${check}: ${said}\n`,
      );
      if (remedy !== undefined) print(`        do: ${remedy}\n`);
    }
    const count = (of: Level) => findings.filter((one) => one.level === of).length;
    print(`${count("ok")} well, ${count("warning")} warnings, ${count("error")} errors\n`);
    return statuses[level];
  },
};

interface Chosen {
  readonly sections: readonly Section[];
  /** Without the configuration the node itself is examined all the same. */
  readonly unreadable?: Reported;
}

async function chosen(values: Values, operands: readonly string[]): Promise<Chosen> {
  let all: Section[];
  try {
    all = await ownSections(configOf(values));
  } catch (thrown) {
    if (operands.length > 0) throw thrown;
    return { sections: [], unreadable: findingOf("configuration", thrown) };
  }
  if (operands.length === 0) return { sections: all.filter(({ scfg }) => !isOn(scfg["disable"])) };
  const sections = operands.map((storeid) => {
    const found = all.find((one) => one.storeid === storeid);
    if (!found)
      throw fail(
        "absent",
        `doctor: '${storeid}' is no storage of pve-blockio's types in '${configOf(values)}'; see pvesm status`,
      );
    return found;
  });
  return { sections };
}

function isOn(value: unknown): boolean {
  return value !== undefined && !["0", "no", "off", "false", ""].includes(String(value));
}

async function asking<T>(values: Values, body: (client: BridgeClient) => Promise<T>): Promise<T> {
  const client = await BridgeClient.connect(socketOf(values));
  try {
    return await body(client);
  } finally {
    client.close();
  }
}
