// SPDX-License-Identifier: AGPL-3.0-or-later
import type { NodeNeeds } from "../arrays/contract.js";
import { type Finding, ok, warning } from "../common/finding.js";
import { findProgram } from "../common/process.js";
import { type Machine, namesIn, textOf } from "./machine.js";

/**
 * Whether LVM of the node keeps away from what guests have on their disks. Volume groups that it takes for its own keep
 * volumes from being deactivated, and two nodes may change them at once.
 */
export async function lvm(
  machine: Machine,
  disks: readonly NonNullable<NodeNeeds["disks"]>[],
): Promise<Finding[]> {
  if ((await findProgram("lvm", machine.root)) === undefined) return [ok("lvm", "not installed")];
  const config = [
    (await textOf(machine, "etc/lvm/lvm.conf")) ?? "",
    (await textOf(machine, "etc/lvm/lvmlocal.conf")) ?? "",
  ].join("\n");
  if (await hasDevicesFile(machine, config))
    return [ok("lvm", "looks at the disks of its devices file only")];
  const filter = listOf(config, "global_filter");
  const seen = disks.flatMap(({ examples }) => examples).filter((name) => accepts(filter, name));
  const [first] = seen;
  if (first === undefined) return [ok("lvm", "global_filter keeps the node's LVM away from guests' disks")];
  const wanted = [...new Set(disks.flatMap(({ reject }) => reject))].map((entry) => `"${entry}"`).join(", ");
  return [
    warning(
      "lvm",
      `global_filter accepts disks like ${first}: the node's LVM would activate guests' volume groups`,
      `add ${wanted} to the front of global_filter in section devices of /etc/lvm/lvm.conf, or enable /usr/share/pve-blockio/lvm/guest-volumes.conf`,
    ),
  ];
}

async function hasDevicesFile(machine: Machine, config: string): Promise<boolean> {
  const use = [...config.matchAll(/^\s*use_devicesfile\s*=\s*([01])/gm)].at(-1)?.[1];
  return use === "1" && (await namesIn(machine, "etc/lvm/devices")).includes("system.devices");
}

/** The texts of a setting, the last one that is no comment: one text, or several in square brackets, over lines too. */
function listOf(config: string, key: string): string[] {
  const words = [...config.matchAll(/"((?:[^"\\]|\\.)*)"|#[^\n]*|[^\s"#[\]=,{}]+|[[\]=]/g)].filter(
    ([word]) => !word.startsWith("#"),
  );
  const at = words.findLastIndex(([word], index) => word === key && words[index + 1]?.[0] === "=");
  if (at < 0) return [];
  const found: string[] = [];
  for (const [word, text] of words.slice(at + 2)) {
    if (word === "[") continue;
    if (text === undefined) break;
    found.push(text);
  }
  return found;
}

/** The first entry that matches decides, and without any a disk is accepted. */
function accepts(filter: readonly string[], device: string): boolean {
  for (const entry of filter) {
    const action = entry[0];
    const delimiter = entry[1] ?? "|";
    const pattern = entry.slice(2, entry.lastIndexOf(delimiter));
    try {
      if (new RegExp(asLvm(pattern)).test(device)) return action === "a";
    } catch {
      // LVM would refuse the whole filter, loudly.
    }
  }
  return true;
}

/** LVM's patterns have neither counts nor classes: there, brackets and letters behind a backslash are themselves. */
function asLvm(pattern: string): string {
  return pattern.replace(/\\(.)|[{}]/g, (found, escaped: string | undefined) => {
    if (escaped === undefined) return `\\${found}`;
    return /[A-Za-z]/.test(escaped) && !"nrt".includes(escaped) ? escaped : found;
  });
}
