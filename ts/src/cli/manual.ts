// SPDX-License-Identifier: AGPL-3.0-or-later
import { errorTable } from "../common/errors.js";
import type { Command, Option } from "./options.js";

/** What a shell and a reader are told of the commands; made of the very definitions that parse the command line. */

/** The manual page pve-blockio(1), in the macros of man(7). */
export function manualPage(commands: readonly Command[], version: string): string {
  const shown = commands.filter(({ hidden }) => !hidden);
  return `${[
    '.\\" SPDX-License-Identifier: AGPL-3.0-or-later',
    `.TH PVE-BLOCKIO 1 "" "pve-blockio ${roff(version)}" "Proxmox VE storage"`,
    ".SH NAME",
    "pve-blockio \\- array storage for Proxmox VE: its service, streams and diagnosis",
    ".SH SYNOPSIS",
    ...shown.flatMap(({ name, operands }, index) => [
      ...(index === 0 ? [] : [".br"]),
      `\\fBpve-blockio ${roff(name)}\\fR ${roff(operands)}${operands === "" ? "" : " "}[\\fIOPTION\\fR...]`,
    ]),
    ".SH DESCRIPTION",
    "Proxmox VE does its work with storages of the types of pve-blockio by itself.",
    "This command is the service behind them, and what an administrator looks at them with.",
    "It needs root.",
    ".SH COMMANDS",
    ...shown.flatMap(section),
    ".SH EXIT STATUS",
    ".TP",
    ".B 0",
    "Done.",
    ...Object.entries(errorTable).flatMap(([code, { exit, meaning }]) => [
      ".TP",
      `.B ${exit}`,
      `\\fI${roff(code)}\\fR: ${roff(meaning)}.`,
    ]),
    ".PP",
    "129, 130 and 143: ended by a signal.",
    "\\fBdoctor\\fR ends with 0 when all is well, 1 with warnings and 2 with errors.",
    ".SH ENVIRONMENT",
    ".TP",
    ".B PVE_BLOCKIO_SOCKET",
    "The service's socket, instead of /run/pve-blockio/bridge.sock.",
    ".TP",
    ".B PVE_BLOCKIO_LOG",
    "What the service logs: error, warn, info or debug.",
    ".SH FILES",
    ".TP",
    ".I /etc/pve/storage.cfg",
    "The storages of the cluster.",
    ".TP",
    ".I /run/pve-blockio/dev/STOREID/VOLNAME",
    "An active volume of a JovianDSS or LINSTOR storage.",
    ".TP",
    ".I /etc/pve/nodes/NODE/pve-blockio.json",
    "What the service of a node tells the other nodes of itself.",
    ".SH SEE ALSO",
    ".BR pvesm (1),",
    ".BR journalctl (1),",
    "/usr/share/doc/pve-blockio",
  ].join("\n")}\n`;
}

function section({ name, operands, summary, details, options }: Command): string[] {
  return [
    `.SS "${roff(`${name} ${operands}`.trim())}"`,
    guarded(roff(summary)),
    ...(details === undefined ? [] : [".PP", ...details.split("\n").map((line) => guarded(roff(line)))]),
    ...Object.entries(options).flatMap(([option, { value, help }]) => [
      ".TP",
      `\\fB\\-\\-${roff(option)}\\fR${value === undefined ? "" : ` \\fI${roff(value)}\\fR`}`,
      guarded(roff(help)),
    ]),
  ];
}

function roff(text: string): string {
  return text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replaceAll('"', "\\(dq");
}

/** A line that begins with a dot or an apostrophe would be a macro. */
function guarded(line: string): string {
  return /^[.']/.test(line) ? `\\&${line}` : line;
}

/** The completion for bash: commands, options, and the storages and volumes that are there. */
export function bashCompletion(commands: readonly Command[], types: readonly string[]): string {
  const shown = commands.filter(({ hidden }) => !hidden);
  const flags = ([name]: [string, Option]) => `--${name}`;
  const cases = shown.map(
    ({ name, options }) =>
      `        ${name}) options="${[...Object.entries(options).map(flags), "--help"].join(" ")}" ;;`,
  );
  const files = ["--config", "--socket", "--device"];
  const special = [...files, "--storage", "--format"];
  const values = [
    ...new Set(
      shown.flatMap(({ options }) =>
        Object.entries(options)
          .filter(([, { type }]) => type === "string")
          .map(flags),
      ),
    ),
  ];
  return `# SPDX-License-Identifier: AGPL-3.0-or-later
# bash completion for pve-blockio; made by the build

_pve_blockio_storages() {
    sed -nE 's/^(${types.join("|")}):[[:space:]]*([^[:space:]]+)[[:space:]]*$/\\2/p' /etc/pve/storage.cfg 2>/dev/null
}

_pve_blockio() {
    local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]} options=''
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "${shown.map(({ name }) => name).join(" ")} --help --version" -- "$current")
        return
    fi
    case $previous in
        ${files.join("|")}) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
        --storage) mapfile -t COMPREPLY < <(compgen -W "$(_pve_blockio_storages)" -- "$current"); return ;;
        --format) mapfile -t COMPREPLY < <(compgen -W 'raw+size tar+size' -- "$current"); return ;;
        ${values.filter((flag) => !special.includes(flag)).join("|")}) return ;;
    esac
    case \${COMP_WORDS[1]} in
${cases.join("\n")}
        *) return ;;
    esac
    case $current in
        -*) mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current") ;;
        *)
            case \${COMP_WORDS[1]} in
                ${storageCommands(shown).join("|")}) mapfile -t COMPREPLY < <(compgen -W "$(_pve_blockio_storages)" -- "$current") ;;
            esac
            ;;
    esac
}

complete -F _pve_blockio pve-blockio
`;
}

function storageCommands(commands: readonly Command[]): string[] {
  return commands.filter(({ operands }) => /^\[?STOREID(?!:)/.test(operands)).map(({ name }) => name);
}
