// SPDX-License-Identifier: AGPL-3.0-or-later
import { error, type Finding, ok, warning } from "../common/finding.js";
import { nativeLayer } from "../connectors/native-layer.js";
import { type Machine, namesIn, textOf } from "./machine.js";
import { type Block, parseMultipathConf, settingOf } from "./multipath-conf.js";

/** How long multipathd may take to answer, in milliseconds. */
const limitMs = 4_000;
const restart = "then systemctl reload multipathd.service";

/** Whether multipathd of this very node runs. */
export function multipathStatus(timeoutMs: number): Promise<"running" | "off" | "silent"> {
  return nativeLayer().multipathStatus(timeoutMs);
}

/** multipathd runs, and its configuration lets maps of ours work. */
export async function multipath(machine: Machine, vendors: readonly string[]): Promise<Finding[]> {
  const status = await machine.multipathStatus(limitMs);
  if (status === "off")
    return [
      error(
        "multipathd",
        "multipathd does not run: volumes have one path only, and its loss stops the guests",
        "apt install multipath-tools; systemctl enable --now multipathd.service",
      ),
    ];
  if (status === "silent")
    return [
      error(
        "multipathd",
        "multipathd does not answer",
        "look at systemctl status multipathd, then restart it",
      ),
    ];
  const findings = settings(await configuration(machine), vendors);
  return findings.length > 0 ? findings : [ok("multipathd", "runs, and its configuration fits")];
}

/** What the files say; the built-in table of arrays is not among them. */
async function configuration(machine: Machine): Promise<Block[]> {
  const drop = "etc/multipath/conf.d";
  const parts = (await namesIn(machine, drop)).filter((name) => name.endsWith(".conf")).sort();
  const paths = ["etc/multipath.conf", ...parts.map((name) => `${drop}/${name}`)];
  const texts = await Promise.all(paths.map((path) => textOf(machine, path)));
  return texts.flatMap((text) => (text === undefined ? [] : parseMultipathConf(text)));
}

function settings(all: readonly Block[], vendors: readonly string[]): Finding[] {
  const blocks = about(vendors, all);
  const findings: Finding[] = [];
  const say = (text: string, remedy: string) =>
    findings.push(warning("multipathd", text, `${remedy}; ${restart}`));
  const ours = "enable /usr/share/pve-blockio/multipath/joviandss.conf";
  const find = settingOf(blocks, "find_multipaths")?.value;
  if (find !== undefined && ["no", "off", "greedy"].includes(find))
    say(
      `find_multipaths is '${find}': every disk of the node becomes a map, its own too`,
      "set find_multipaths to strict in section defaults",
    );
  const retry = settingOf(blocks, "no_path_retry");
  if (retry?.value === "queue")
    say(
      `no_path_retry is 'queue' (${retry.place}): what uses a disk whose paths are gone for good hangs and cannot be killed`,
      `set no_path_retry to a number of retries there, or ${ours}`,
    );
  const features = settingOf(blocks, "features");
  // A number of retries overrules it.
  if (features?.value.includes("queue_if_no_path") && retry === undefined)
    say(
      `features has queue_if_no_path (${features.place}): what uses a disk whose paths are gone for good hangs`,
      `take it out and set no_path_retry to a number of retries, or ${ours}`,
    );
  const skip = settingOf(blocks, "skip_kpartx")?.value;
  if (skip !== undefined && ["no", "off"].includes(skip))
    say("skip_kpartx is off: partitions of guests become devices of the node", ours);
  const excluded = blacklisted(blocks);
  if (excluded !== undefined)
    say(
      `the blacklist has ${excluded}, and no exception lets disks of arrays in`,
      "take it out, or add the arrays to blacklist_exceptions",
    );
  const friendly = settingOf(blocks, "user_friendly_names")?.value;
  if (friendly === "yes" || friendly === "on")
    say(
      "user_friendly_names is on: maps are called mpathN, LVM filters cannot tell them from others, and the name is another one on each node",
      ours,
    );
  return findings;
}

/** Without the sections of other arrays. */
function about(vendors: readonly string[], blocks: readonly Block[]): Block[] {
  return blocks
    .filter(({ name, entries }) => {
      const vendor = entries.find(([key]) => key === "vendor")?.[1];
      return name !== "device" || vendor === undefined || vendors.some((one) => matches(vendor, one));
    })
    .map((block) => ({ ...block, blocks: about(vendors, block.blocks) }));
}

/** An entry that excludes all SCSI disks; undefined when there is none, or there are exceptions. */
function blacklisted(blocks: readonly Block[]): string | undefined {
  if (
    blocks.some(
      ({ name, entries, blocks: inner }) =>
        name === "blacklist_exceptions" && entries.length + inner.length > 0,
    )
  )
    return undefined;
  for (const { name, entries } of blocks) {
    if (name !== "blacklist") continue;
    for (const [key, value] of entries) {
      const tried = key === "devnode" ? "sdb" : key === "wwid" ? "20123456789abcdef" : undefined;
      if (tried !== undefined && !value.startsWith("!") && matches(value, tried)) return `${key} "${value}"`;
    }
  }
  return undefined;
}

function matches(pattern: string, text: string): boolean {
  try {
    return new RegExp(pattern).test(text);
  } catch {
    return pattern === "*";
  }
}
