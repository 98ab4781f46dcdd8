// SPDX-License-Identifier: AGPL-3.0-or-later
import { BlockioError, errorTable, wrap } from "../common/errors.js";
import { call } from "./call.js";
import { doctor } from "./doctor.js";
import { exportCommand } from "./export.js";
import { importCommand } from "./import.js";
import { list } from "./list.js";
import { log } from "./log.js";
import { bashCompletion, manualPage } from "./manual.js";
import { metrics } from "./metrics.js";
import { type Command, helpOf, parseCommand } from "./options.js";
import { print, say } from "./output.js";
import { serve } from "./serve.js";
import { sim } from "./sim.js";
import { status } from "./status.js";
import { Interrupted } from "./stream.js";
import { sweep } from "./sweep.js";
import { version } from "./version.js";

const manifest: Command = {
  name: "manifest",
  operands: "",
  summary: "Print the manifest that the Perl plugin reads.",
  hidden: true,
  options: {},
  async run() {
    const { makeManifest } = await import("./service.js");
    print(`${JSON.stringify(makeManifest(version), null, 2)}\n`);
    return 0;
  },
};

/** What else the build makes of the code. */
const generate: Command = {
  name: "generate",
  operands: "man|completion|reference",
  summary: "Print the manual page, bash's completion or the configuration reference.",
  hidden: true,
  options: {},
  async run(_values, [what]) {
    const { makeReference, typeNames } = await import("./service.js");
    switch (what) {
      case "man":
        print(manualPage(commands, version));
        return 0;
      case "completion":
        print(bashCompletion(commands, typeNames()));
        return 0;
      case "reference":
        print(makeReference());
        return 0;
      default:
        throw new BlockioError("invalid", "generate: name man, completion or reference");
    }
  },
};

/** Every command, in the order of the overview. */
export const commands: readonly Command[] = [
  status,
  list,
  doctor,
  sweep,
  log,
  metrics,
  exportCommand,
  importCommand,
  call,
  serve,
  sim,
  manifest,
  generate,
];

function overview(): string {
  const shown = commands.filter((command) => !command.hidden);
  const codes = Object.entries(errorTable).map(([code, { exit }]) => `${exit} ${code}`);
  return [
    "Usage: pve-blockio COMMAND [OPTION...]",
    "",
    "Array storage for Proxmox VE: the service, its streams and its diagnosis.",
    "",
    ...shown.map((command) => `  ${command.name.padEnd(8)} ${command.summary}`),
    "",
    "pve-blockio COMMAND --help tells more; --version prints the version.",
    "",
    "Exit status: 0 done, 129/130/143 ended by a signal, otherwise the error's code:",
    `  ${codes.slice(0, 6).join(", ")},`,
    `  ${codes.slice(6).join(", ")}`,
    "",
  ].join("\n");
}

/** Runs the command line; returns the exit status. */
export async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  try {
    if (name === undefined || name === "--help" || name === "-h" || name === "help") {
      (name === undefined ? say : print)(overview());
      return name === undefined ? errorTable.invalid.exit : 0;
    }
    if (name === "--version") {
      print(`pve-blockio ${version}\n`);
      return 0;
    }
    const command = commands.find((candidate) => candidate.name === name);
    if (!command) throw new BlockioError("invalid", `no command '${name}'; see pve-blockio --help`);
    const { values, operands } = parseCommand(command, rest);
    if (values["help"] === true) {
      print(helpOf(command));
      return 0;
    }
    return await command.run(values, operands);
  } catch (error) {
    if (error instanceof Interrupted) {
      say(`pve-blockio: ${name}: interrupted\n`);
      return error.exitStatus;
    }
    const typed = error instanceof BlockioError ? error : wrap(error, String(name));
    say(`pve-blockio: ${typed.message} (${typed.code})\n`);
    return errorTable[typed.code].exit;
  }
}
