// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Leftover } from "../arrays/contract.js";
import { BlockioError, errorTable, fail, wrap } from "../common/errors.js";
import { BridgeClient, type Section } from "./client.js";
import { type Command, common, configOf, socketOf } from "./options.js";
import { print, say, table } from "./output.js";
import { ownSections } from "./section.js";

/** What is left of one storage. */
interface Row extends Leftover {
  readonly storage: string;
  /** After a removal: what became of it. */
  result?: string;
}

export const sweep: Command = {
  name: "sweep",
  operands: "[STOREID...] [--yes]",
  summary: "List what is left over; with --yes, remove what is ours and unused.",
  details:
    "Leftovers are links to devices that are gone, active volumes whose guest is on\n" +
    "another node or that the array lost, disks, sessions and records of targets\n" +
    "that no volume has, and what the array or a directory keeps of interrupted\n" +
    "work. What is in use, young or not certain to be ours is listed with the\n" +
    "reason, and stays.",
  options: {
    yes: { type: "boolean", help: "remove what is listed without a reason to keep it" },
    socket: common.socket,
    config: common.config,
    json: common.json,
  },
  async run(values, operands) {
    const all = await ownSections(configOf(values));
    const sections =
      operands.length === 0 ? all : operands.map((storeid) => named(all, storeid, configOf(values)));
    const client = await BridgeClient.connect(socketOf(values));
    const { strayLinks } = await import("./service.js");
    const rows: Row[] = operands.length === 0 ? await strayLinks(all.map(({ storeid }) => storeid)) : [];
    let status = 0;
    try {
      for (const section of sections) {
        const failed = await look(client, section, rows);
        status = failed === undefined ? status : errorTable[failed.code].exit;
      }
      if (values["yes"] === true)
        for (const row of rows.filter(({ keep }) => keep === undefined)) {
          const failed = await remove(client, sections, row);
          status = failed === undefined ? status : errorTable[failed.code].exit;
        }
    } finally {
      client.close();
    }
    if (values["json"] === true) print(`${JSON.stringify(rows)}\n`);
    else if (rows.length === 0)
      print(status === 0 ? "nothing is left over\n" : "nothing is left over where it could be looked at\n");
    else
      print(
        table([
          ["STORAGE", "KIND", "NAME", "WHY", values["yes"] === true ? "RESULT" : "KEPT BECAUSE"],
          ...rows.map(({ storage, kind, name, why, keep, result }) => [
            storage,
            kind,
            name,
            why,
            result ?? (keep === undefined ? "-" : keep),
          ]),
        ]),
      );
    return status;
  },
};

function named(all: readonly Section[], storeid: string, config: string): Section {
  const found = all.find((one) => one.storeid === storeid);
  if (!found)
    throw fail(
      "absent",
      `sweep: '${storeid}' is no storage of pve-blockio's types in '${config}'; see pvesm status`,
    );
  return found;
}

/** A storage that cannot be looked at is said, and the others go on. */
async function look(client: BridgeClient, section: Section, rows: Row[]): Promise<BlockioError | undefined> {
  try {
    const found = await client.call<Leftover[]>("leftovers", section);
    rows.push(...found.map((one): Row => ({ ...one, storage: section.storeid })));
    return undefined;
  } catch (error) {
    return told(error, section.storeid);
  }
}

async function remove(
  client: BridgeClient,
  sections: readonly Section[],
  row: Row,
): Promise<BlockioError | undefined> {
  const section = sections.find(({ storeid }) => storeid === row.storage);
  if (!section) return undefined;
  const { kind, name, vmid } = row;
  try {
    await client.call("remove_leftover", section, { kind, name, ...(vmid === undefined ? {} : { vmid }) });
    row.result = "removed";
    return undefined;
  } catch (error) {
    const failed = told(error, row.storage);
    // With a volume its disk and session may have gone.
    row.result = failed.code === "absent" ? "gone" : failed.code;
    return failed.code === "absent" ? undefined : failed;
  }
}

function told(error: unknown, storeid: string): BlockioError {
  const typed = error instanceof BlockioError ? error : wrap(error, `sweep '${storeid}'`);
  if (typed.code !== "absent") say(`pve-blockio: ${typed.message} (${typed.code})\n`);
  return typed;
}
