// SPDX-License-Identifier: AGPL-3.0-or-later
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { error, type Finding, ok, warning } from "../common/finding.js";
import { type Machine, namesIn, type Section, textOf } from "./machine.js";

const directory = "usr/share/perl5/PVE/Storage/Custom";
/** What loads plugins once, when it starts. */
const daemons = ["pvedaemon", "pveproxy", "pvestatd", "pvescheduler"];

/** The Perl classes that PVE loads: one for each type in use, no other one of the same type, and none that is newer than PVE's daemons. */
export async function plugin(machine: Machine, sections: readonly Section[]): Promise<Finding[]> {
  const classes = await classesOf(machine);
  const types = [...new Set(sections.map(({ scfg }) => String(scfg["type"])))].sort();
  const findings: Finding[] = [];
  for (const type of types) {
    const ours = classes.find((one) => one.type === type && one.ours);
    const others = classes.filter((one) => one.type === type && !one.ours).map(({ file }) => file);
    if (!ours)
      findings.push(
        error(
          "plugin",
          `no class of type '${type}' is in /${directory}: PVE ignores its sections`,
          `install ${packageOf(type)}, then systemctl try-reload-or-restart ${daemons.join(" ")}`,
        ),
      );
    if (others.length > 0)
      findings.push(
        error(
          "plugin",
          `${others.join(", ")} is also of type '${type}': PVE takes one of them, and it may be the other`,
          "remove the other plugin's package; volumes and sections stay as they are",
        ),
      );
  }
  findings.push(...(await old(machine, classes)));
  return findings.length > 0 ? findings : [ok("plugin", `installed for ${types.join(", ") || "no section"}`)];
}

/** The package that has the class of one of our types. */
function packageOf(type: string): string {
  if (type === "blockio") return "pve-blockio";
  return `pve-blockio-${type === "drbd" ? "linstor" : type}`;
}

interface PluginClass {
  readonly file: string;
  readonly type: string | undefined;
  readonly ours: boolean;
}

async function classesOf(machine: Machine): Promise<PluginClass[]> {
  const files = (await namesIn(machine, directory)).filter((name) => name.endsWith(".pm"));
  return Promise.all(
    files.map(async (file) => {
      const text = (await textOf(machine, join(directory, file))) ?? "";
      const type = /\bsub\s+type\b[^{]*\{[^}]*?['"]([a-z][a-z0-9]*)['"]/.exec(text)?.[1];
      return { file, type, ours: /PVE::Storage::Custom::Blockio::Base/.test(text) };
    }),
  );
}

/** Daemons that were started before the classes came. A package's files keep their dates, so it is the inode's change that counts. */
async function old(machine: Machine, classes: readonly PluginClass[]): Promise<Finding[]> {
  const times = await Promise.all(
    classes.flatMap(({ file, ours }) =>
      ours ? [stat(join(machine.root, directory, file)).then(({ ctimeMs }) => ctimeMs / 1000)] : [],
    ),
  );
  const boot = Number(/^btime ([0-9]+)$/m.exec((await textOf(machine, "proc/stat")) ?? "")?.[1]);
  const newest = Math.max(0, ...times);
  const late: string[] = [];
  for (const name of daemons) {
    const pid = (
      await textOf(machine, `run/${name === "pveproxy" ? "pveproxy/pveproxy" : name}.pid`)
    )?.trim();
    if (pid === undefined || !/^[0-9]+$/.test(pid)) continue;
    const status = await textOf(machine, `proc/${pid}/stat`).catch(() => undefined);
    // Behind the name, which may have blanks and brackets: the start in ticks of 1/100 s since the boot.
    const ticks = Number(status?.slice(status.lastIndexOf(")") + 2).split(" ")[19]);
    if (boot > 0 && boot + ticks / 100 < newest) late.push(name);
  }
  if (late.length === 0) return [];
  return [
    warning(
      "plugin",
      `${late.join(", ")} started before the plugin was installed or upgraded`,
      `systemctl try-reload-or-restart ${late.join(" ")}`,
    ),
  ];
}
