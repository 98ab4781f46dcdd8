// SPDX-License-Identifier: AGPL-3.0-or-later
import { protocolVersion } from "../bridge/limits.js";
import { nodeNames } from "../common/cluster.js";
import { error, type Finding, findingOf, ok, warning } from "../common/finding.js";
import { readNodeRecord } from "../common/node-record.js";
import type { Machine, Section } from "./machine.js";

/** The service of this node: whether it answers, and as which version. */
export async function service(machine: Machine): Promise<Finding[]> {
  let answer: Awaited<ReturnType<Machine["ping"]>>;
  try {
    answer = await machine.ping();
  } catch (thrown) {
    const { text } = findingOf("service", thrown);
    return [
      error(
        "service",
        text,
        "systemctl enable --now pve-blockio.socket; then look at journalctl -u pve-blockio.service",
      ),
    ];
  }
  const { version, protocol } = answer;
  if (protocol !== protocolVersion || version !== machine.version) {
    const text = `the service is version ${version}, this program ${machine.version}`;
    return [warning("service", text, "systemctl try-restart pve-blockio.service; streams under way go on")];
  }
  return [ok("service", `version ${version} answers`)];
}

/**
 * The versions of the other nodes, as their services told the cluster when they last started; a node that is off keeps what
 * it said.
 */
export async function versions(machine: Machine, sections: readonly Section[]): Promise<Finding[]> {
  const others = (await nodeNames(machine.cluster)).filter((name) => name !== machine.node);
  const used = others.filter((name) => sections.some(({ scfg }) => isFor(scfg, name)));
  if (used.length === 0) return [ok("versions", "no other node uses these storages")];
  const findings: Finding[] = [];
  for (const name of used) {
    const record = await readNodeRecord(name, machine.cluster);
    if (!record)
      findings.push(
        warning(
          "versions",
          `node '${name}' has never told its version: its service did not run yet, or without quorum`,
          `install pve-blockio there, or exclude the node with pvesm set STOREID --nodes`,
        ),
      );
    else if (record.version !== machine.version)
      findings.push(
        warning(
          "versions",
          `node '${name}' has version ${record.version}, this one ${machine.version}`,
          "upgrade the older one; until then migrate guests only if the release notes say so",
        ),
      );
  }
  return findings.length > 0
    ? findings
    : [ok("versions", `${used.length} other nodes have ${machine.version}`)];
}

/** Whether a storage is to be used on a node. */
export function isFor({ nodes }: Readonly<Record<string, unknown>>, name: string): boolean {
  return typeof nodes !== "object" || nodes === null || Object.hasOwn(nodes, name);
}
