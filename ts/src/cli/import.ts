// SPDX-License-Identifier: AGPL-3.0-or-later
import { statSync } from "node:fs";
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isatty } from "node:tty";
import type { ImportTarget } from "../arrays/contract.js";
import { BlockioError, codeOf, fail } from "../common/errors.js";
import { native } from "../common/native.js";
import { BridgeClient, type Section } from "./client.js";
import { type Command, common, configOf, socketOf, text, type Values } from "./options.js";
import { print } from "./output.js";
import { findSection, parseVolumeId } from "./section.js";
import {
  formatOf,
  interruptible,
  refuseDigest,
  reported,
  resultJson,
  type StreamFormat,
  streamOptions,
  transfer,
  transferOptions,
} from "./stream.js";

const stdin = 0;
/** How long a restarting service is waited for at the end of an import, in milliseconds. */
const commitPatienceMs = 30_000;

interface Begun {
  volname: string;
  target: ImportTarget;
  token: string;
}

export const importCommand: Command = {
  name: "import",
  operands: "STOREID:VOLNAME | --device PATH",
  summary: "Make a volume of the stream on standard input.",
  details:
    "Prints the ID of the new volume. With --device, PATH may be a block device,\n" +
    "or a file or directory that does not exist yet. A stream that is shorter or\n" +
    "longer than it says is an error, and nothing of it is kept.",
  options: {
    ...streamOptions,
    "allow-rename": { type: "boolean", help: "take a free name when the given one exists" },
    socket: common.socket,
    config: common.config,
    json: common.json,
  },
  async run(values, operands) {
    if (isatty(stdin))
      throw fail("invalid", "import: standard input is a terminal; redirect it from a file or pipe");
    const device = text(values, "device");
    if (device !== undefined) {
      if (operands.length > 0) throw fail("invalid", "import: --device goes without volume ID");
      if (requireFormat(values) === "tar+size") await receiveTree(values, resolve(device), device);
      else await receive(values, deviceTarget(resolve(device)), undefined, device);
      return 0;
    }
    const [volid] = operands;
    if (volid === undefined || operands.length > 1) {
      throw fail("invalid", "import: name one volume as STOREID:VOLNAME, or --device PATH");
    }
    const { storeid, volname } = parseVolumeId(volid);
    await importVolume(values, findSection(storeid, configOf(values)), volname, requireFormat(values));
    return 0;
  },
};

function requireFormat(values: Values): StreamFormat {
  const format = formatOf("import", values) ?? "raw+size";
  if (format === "tar+size") refuseDigest("import", values);
  return format;
}

async function importVolume(
  values: Values,
  section: Section,
  volname: string,
  format: StreamFormat,
): Promise<void> {
  const size = await interruptible(() => {
    const header = format === "tar+size" ? native().readTarHeader(stdin) : native().readHeader(stdin);
    return { done: header, cancel: () => header.cancel() };
  });
  const client = await BridgeClient.connect(socketOf(values));
  try {
    const begun = await client.call<Begun>("volume_import", section, {
      volname,
      size: size.toString(),
      format,
      allowRename: values["allow-rename"] === true,
    });
    const receiving = () => receiveInto(values, begun.target, size);
    const result = await reported(client, section, "import", receiving).catch(async (error: unknown) => {
      // The end of the connection would do, but then the name were free a moment after we have ended.
      const args = { token: begun.token, volname: begun.volname };
      await client.call("volume_import_abort", section, args).catch(() => {});
      throw error;
    });
    const volid = `${section.storeid}:${await commit(values, client, section, begun)}`;
    print(values["json"] === true ? resultJson(result, { volid }) : `${volid}\n`);
  } finally {
    client.close();
  }
}

/**
 * Tells the service that the data is complete; finds it again when it was restarted meanwhile. Gives the final name. A
 * service that answers is asked again over the same connection: that the array is silent is no reason to leave it.
 */
async function commit(values: Values, client: BridgeClient, section: Section, begun: Begun): Promise<string> {
  const args = { token: begun.token, volname: begun.volname };
  const end = performance.now() + commitPatienceMs;
  let current: BridgeClient | undefined = client;
  for (;;) {
    try {
      current ??= await BridgeClient.connect(socketOf(values));
      const done = await current.call<{ volname: string }>(
        "volume_import_commit",
        section,
        args,
        undefined,
        begun.token,
      );
      if (current !== client) current.close();
      return done.volname;
    } catch (error) {
      const over = codeOf(error) !== "unreachable" || performance.now() > end;
      if (current !== client && (over || current?.closed)) current?.close();
      if (over) throw error;
      if (current?.closed) current = undefined;
      await sleep(500);
    }
  }
}

async function receive(
  values: Values,
  target: ImportTarget,
  size: bigint | undefined,
  name: string,
): Promise<void> {
  const result = await receiveInto(values, target, size);
  print(values["json"] === true ? resultJson(result, { device: name }) : `${name}\n`);
}

/** A directory is made, and removed again when the archive is not whole. */
async function receiveTree(values: Values, path: string, name: string): Promise<void> {
  await native().createTree(path, 0o700);
  try {
    await receive(values, { kind: "directory", path, zeroed: true }, undefined, name);
  } catch (error) {
    await native().removeTree(path);
    throw error;
  }
}

function receiveInto(values: Values, target: ImportTarget, size: bigint | undefined) {
  const { kind, path, zeroed } = target;
  const common = { sourceFd: stdin, ...(size === undefined ? {} : { size }), ...transferOptions(values) };
  return transfer(values, (onProgress) =>
    kind === "directory"
      ? native().importTar({ ...common, target: path }, onProgress)
      : native().importRaw({ ...common, target: { kind, path }, zeroed }, onProgress),
  );
}

/** A block device is written as it is, nothing is known of its content; a file is created. */
function deviceTarget(path: string): ImportTarget {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return { kind: "create", path, zeroed: true };
  if (found.isBlockDevice()) return { kind: "device", path, zeroed: false };
  throw new BlockioError(
    "exists",
    `import: '${path}' exists and is no block device; remove it or name another file`,
  );
}
