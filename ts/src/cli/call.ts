// SPDX-License-Identifier: AGPL-3.0-or-later
import { fail } from "../common/errors.js";
import { BridgeClient } from "./client.js";
import { type Command, common, configOf, socketOf, text } from "./options.js";
import { print } from "./output.js";
import { findSection } from "./section.js";

export const call: Command = {
  name: "call",
  operands: "METHOD [--storage STOREID] [--args JSON]",
  summary: "Call one method of the service and print its result as JSON.",
  details: "For scripts and diagnosis; protocol.md in /usr/share/doc/pve-blockio lists the\nmethods.",
  options: {
    storage: { type: "string", value: "STOREID", help: "the storage that the method is about" },
    args: { type: "string", value: "JSON", help: "arguments, an object (default {})" },
    deadline: { type: "string", value: "MS", help: "time limit in milliseconds" },
    socket: common.socket,
    config: common.config,
    json: { type: "boolean", help: "one line instead of indented output" },
  },
  async run(values, operands) {
    const [method] = operands;
    if (method === undefined || operands.length > 1) throw fail("invalid", "call: name one method");
    const storeid = text(values, "storage");
    const deadline = text(values, "deadline");
    if (deadline !== undefined && !/^[1-9][0-9]{0,8}$/.test(deadline)) {
      throw fail("invalid", `call: --deadline '${deadline}' is not a number of milliseconds`);
    }
    const section = storeid === undefined ? undefined : findSection(storeid, configOf(values));
    const client = await BridgeClient.connect(socketOf(values));
    try {
      const args = parseObject(text(values, "args") ?? "{}");
      const result = await client.call(
        method,
        section,
        args,
        deadline === undefined ? undefined : Number(deadline),
      );
      print(`${JSON.stringify(result, null, values["json"] === true ? 0 : 2)}\n`);
    } finally {
      client.close();
    }
    return 0;
  },
};

function parseObject(json: string): object {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw fail("invalid", "call: --args is not valid JSON", error);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw fail("invalid", "call: --args is not a JSON object");
  }
  return value;
}
