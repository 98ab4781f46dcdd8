// SPDX-License-Identifier: AGPL-3.0-or-later
import { fail } from "../common/errors.js";
import { BridgeClient } from "./client.js";
import { type Command, common, configOf, socketOf, text } from "./options.js";
import { print, table } from "./output.js";
import { findSection } from "./section.js";

interface Row {
  volname: string;
  vmid: number;
  format: string;
  size: string;
  used?: string;
}

export const list: Command = {
  name: "list",
  operands: "STOREID [--vmid N]",
  summary: "List the volumes of a storage.",
  options: {
    vmid: { type: "string", value: "N", help: "those of one guest" },
    socket: common.socket,
    config: common.config,
    json: common.json,
  },
  async run(values, operands) {
    const [storeid] = operands;
    if (storeid === undefined || operands.length > 1) throw fail("invalid", "list: name one storage");
    const section = findSection(storeid, configOf(values));
    const client = await BridgeClient.connect(socketOf(values));
    try {
      const vmid = text(values, "vmid");
      const rows = await client.call<Row[]>("list_images", section, vmid === undefined ? {} : { vmid });
      if (values["json"] === true) {
        print(`${JSON.stringify(rows.map((row) => ({ volid: `${storeid}:${row.volname}`, ...row })))}\n`);
      } else {
        const lines = rows.map((row) => [
          `${storeid}:${row.volname}`,
          row.format,
          BigInt(row.size),
          row.used === undefined ? "-" : BigInt(row.used),
          row.vmid,
        ]);
        print(table([["VOLUME", "FORMAT", "SIZE", "USED", "VMID"], ...lines]));
      }
    } finally {
      client.close();
    }
    return 0;
  },
};
