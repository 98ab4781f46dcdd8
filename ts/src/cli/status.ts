// SPDX-License-Identifier: AGPL-3.0-or-later
import { BridgeClient } from "./client.js";
import { type Command, common, configOf, socketOf } from "./options.js";
import { print, table } from "./output.js";
import { findSection } from "./section.js";

interface Status {
  total: string;
  avail: string;
  used: string;
  active: boolean;
}

export const status: Command = {
  name: "status",
  operands: "[STOREID...]",
  summary: "Tell whether the service answers, and how storages are.",
  options: { socket: common.socket, config: common.config, json: common.json },
  async run(values, operands) {
    const client = await BridgeClient.connect(socketOf(values));
    try {
      const service = await client.call<{ version: string; protocol: number }>("ping", undefined);
      const storages: Record<string, Status> = {};
      for (const storeid of operands) {
        storages[storeid] = await client.call<Status>("status", findSection(storeid, configOf(values)));
      }
      if (values["json"] === true) {
        print(`${JSON.stringify({ service, storages })}\n`);
        return 0;
      }
      print(`service ${service.version}, protocol ${service.protocol}\n`);
      const rows = Object.entries(storages).map(([storeid, { active, total, used, avail }]) => [
        storeid,
        active ? "active" : "inactive",
        BigInt(total),
        BigInt(used),
        BigInt(avail),
      ]);
      if (rows.length > 0) print(table([["STORAGE", "STATE", "TOTAL", "USED", "AVAILABLE"], ...rows]));
    } finally {
      client.close();
    }
    return 0;
  },
};
