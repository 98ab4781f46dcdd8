// SPDX-License-Identifier: AGPL-3.0-or-later
import { isatty } from "node:tty";
import { fail } from "../common/errors.js";
import { native } from "../common/native.js";
import { BridgeClient } from "./client.js";
import { type Command, common, configOf, socketOf, text, type Values } from "./options.js";
import { say } from "./output.js";
import { findSection, parseVolumeId } from "./section.js";
import { resultJson, streamOptions, transfer, transferOptions } from "./stream.js";

const stdout = 1;

export const exportCommand: Command = {
  name: "export",
  operands: "STOREID:VOLNAME | --device PATH",
  summary: "Write a volume to standard output as a raw+size stream.",
  details:
    "The stream is the size in bytes as 8 bytes, least significant first, then\n" +
    "exactly that many bytes. Progress and digest go to standard error.",
  options: {
    ...streamOptions,
    snapshot: { type: "string", value: "NAME", help: "export this snapshot instead of the present state" },
    socket: common.socket,
    config: common.config,
    json: { type: "boolean", help: "print the outcome as JSON on standard error" },
  },
  async run(values, operands) {
    if ((text(values, "format") ?? "raw+size") !== "raw+size") {
      throw fail("unsupported", `export: format '${text(values, "format")}' is not one of raw+size`);
    }
    const device = text(values, "device");
    if (device !== undefined) {
      if (operands.length > 0 || values["snapshot"] !== undefined) {
        throw fail("invalid", "export: --device goes without volume ID and --snapshot");
      }
      await send(values, device);
      return 0;
    }
    const [volid] = operands;
    if (volid === undefined || operands.length > 1) {
      throw fail("invalid", "export: name one volume as STOREID:VOLNAME, or --device PATH");
    }
    const { storeid, volname } = parseVolumeId(volid);
    const section = findSection(storeid, configOf(values));
    const client = await BridgeClient.connect(socketOf(values));
    try {
      // The volume stays usable here until this connection closes.
      const source = await client.call<{ path: string }>("volume_export", section, {
        volname,
        snap: text(values, "snapshot") ?? null,
      });
      await send(values, source.path);
    } finally {
      client.close();
    }
    return 0;
  },
};

async function send(values: Values, source: string): Promise<void> {
  if (isatty(stdout))
    throw fail("invalid", "export: standard output is a terminal; redirect it to a file or pipe");
  const result = await transfer(values, (onProgress) =>
    native().exportRaw({ source, sinkFd: stdout, ...transferOptions(values) }, onProgress),
  );
  if (values["json"] === true) say(resultJson(result));
}
