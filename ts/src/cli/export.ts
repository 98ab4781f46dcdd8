// SPDX-License-Identifier: AGPL-3.0-or-later
import { isatty } from "node:tty";
import type { StreamResult } from "../../../dist/blockio.js";
import type { Format } from "../arrays/contract.js";
import { fail } from "../common/errors.js";
import { native } from "../common/native.js";
import { BridgeClient } from "./client.js";
import { type Command, common, configOf, socketOf, text, type Values } from "./options.js";
import { say } from "./output.js";
import { findSection, parseVolumeId } from "./section.js";
import {
  formatOf,
  refuseDigest,
  reported,
  resultJson,
  type StreamFormat,
  streamOptions,
  transfer,
  transferOptions,
} from "./stream.js";

const stdout = 1;

export const exportCommand: Command = {
  name: "export",
  operands: "STOREID:VOLNAME | --device PATH",
  summary: "Write a volume to standard output as a stream.",
  details:
    "A raw+size stream is the size in bytes as 8 bytes, least significant first,\n" +
    "then exactly that many bytes. A tar+size stream, for directories, is 8 bytes\n" +
    "and an archive. Progress, notes and digest go to standard error.",
  options: {
    ...streamOptions,
    snapshot: { type: "string", value: "NAME", help: "export this snapshot instead of the present state" },
    socket: common.socket,
    config: common.config,
    json: { type: "boolean", help: "print the outcome as JSON on standard error" },
  },
  async run(values, operands) {
    const format = formatOf("export", values);
    const device = text(values, "device");
    if (device !== undefined) {
      if (operands.length > 0 || values["snapshot"] !== undefined) {
        throw fail("invalid", "export: --device goes without volume ID and --snapshot");
      }
      await send(values, device, format ?? "raw+size");
      return 0;
    }
    const [volid] = operands;
    if (volid === undefined || operands.length > 1) {
      throw fail("invalid", "export: name one volume as STOREID:VOLNAME, or --device PATH");
    }
    const { storeid, volname } = parseVolumeId(volid);
    const section = findSection(storeid, configOf(values));
    const args = {
      volname,
      snap: text(values, "snapshot") ?? null,
      ...(format === undefined ? {} : { streamFormat: format }),
    };
    // The volume stays usable here until this connection closes.
    const { client, held: source } = await BridgeClient.hold<{ path: string; format: Format }>(
      socketOf(values),
      "volume_export",
      section,
      args,
    );
    try {
      const sent = source.format === "subvol" ? "tar+size" : "raw+size";
      await send(values, source.path, sent, (run) => reported(client, section, "export", run));
    } finally {
      client.close();
    }
    return 0;
  },
};

async function send(
  values: Values,
  source: string,
  format: StreamFormat,
  around: (run: () => Promise<StreamResult>) => Promise<StreamResult> = (run) => run(),
): Promise<void> {
  if (isatty(stdout))
    throw fail("invalid", "export: standard output is a terminal; redirect it to a file or pipe");
  if (format === "tar+size") refuseDigest("export", values);
  const result = await around(() =>
    transfer(values, (onProgress) => {
      const options = { source, sinkFd: stdout, ...transferOptions(values) };
      return format === "tar+size"
        ? native().exportTar(options, onProgress)
        : native().exportRaw(options, onProgress);
    }),
  );
  if (values["json"] === true) say(resultJson(result));
}
