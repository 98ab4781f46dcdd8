// SPDX-License-Identifier: AGPL-3.0-or-later
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { nodeNames } from "../common/cluster.js";
import { codeOf } from "../common/errors.js";
import { error, type Finding, ok, warning } from "../common/finding.js";
import { initiatorName, readNodeRecord } from "../common/node-record.js";
import { findProgram } from "../common/process.js";
import { type Machine, runs, textOf } from "./machine.js";

/** `iscsiadm` needs a few seconds at most; a lock that is older has lost its owner. In milliseconds. */
const lockAgeMs = 60_000;

/** The initiator's programs: there, running, and not locked up. */
export async function openIscsi(machine: Machine): Promise<Finding[]> {
  if ((await findProgram("iscsiadm", machine.root)) === undefined)
    return [error("open-iscsi", "iscsiadm is missing", "apt install open-iscsi")];
  const findings: Finding[] = [];
  const sockets = (await textOf(machine, "proc/net/unix")) ?? "";
  if (!(await runs(machine, "iscsid")) && !sockets.includes("@ISCSIADM_ABSTRACT_NAMESPACE"))
    findings.push(error("open-iscsi", "iscsid does not run", "systemctl enable --now iscsid.socket"));
  const lock = join(machine.root, "run/lock/iscsi/lock.write");
  const age = await stat(lock).then(
    ({ ctimeMs }) => Date.now() - ctimeMs,
    (thrown: unknown) => {
      if (codeOf(thrown) === "absent") return 0;
      throw thrown;
    },
  );
  if (age > lockAgeMs && !(await runs(machine, "iscsiadm")))
    findings.push(
      error(
        "open-iscsi",
        "its lock is held by an iscsiadm that was killed: no session can be made or ended",
        "rm /run/lock/iscsi/lock.write",
      ),
    );
  return findings.length > 0 ? findings : [ok("open-iscsi", "installed, and iscsid answers")];
}

/** The name by which this node logs in: there, well-formed, and no other node's. */
export async function initiator(machine: Machine): Promise<Finding[]> {
  const own = await initiatorName(machine.root);
  const make =
    'echo "InitiatorName=$(iscsi-iname)" >/etc/iscsi/initiatorname.iscsi; systemctl restart iscsid';
  if (own === undefined)
    return [error("initiator", "there is no name in /etc/iscsi/initiatorname.iscsi", make)];
  if (!/^(?:iqn\.[0-9]{4}-[0-9]{2}\.|eui\.|naa\.)[A-Za-z0-9.:_-]{1,210}$/.test(own))
    return [error("initiator", `'${own}' is no name of an initiator`, make)];
  for (const name of await nodeNames(machine.cluster)) {
    if (name === machine.node) continue;
    const record = await readNodeRecord(name, machine.cluster);
    if (record?.initiator?.toLowerCase() === own.toLowerCase())
      return [
        error(
          "initiator",
          `node '${name}' has the same name '${own}': arrays take both for one, and guards that look for other nodes are blind`,
          `on one of them, without active volumes: ${make}`,
        ),
      ];
  }
  const said = (await readNodeRecord(machine.node, machine.cluster))?.initiator;
  if (said !== undefined && said !== own)
    return [
      warning(
        "initiator",
        `the name has changed to '${own}' since the service was started`,
        "systemctl try-restart pve-blockio.service, which tells the other nodes",
      ),
    ];
  return [ok("initiator", own)];
}

/** Whoever waits for disks to appear waits for udev. */
export async function udev(machine: Machine): Promise<Finding[]> {
  const there = await stat(join(machine.root, "run/udev/control")).then(
    () => true,
    () => false,
  );
  const running = await runs(machine, "systemd-udevd");
  const alsoCalled = running || (await runs(machine, "(udev-worker)")) || (await runs(machine, "udevd"));
  if (there && alsoCalled) return [ok("udev", "runs")];
  return [
    error(
      "udev",
      "systemd-udevd does not run: disks get no names",
      "systemctl restart systemd-udevd.service",
    ),
  ];
}
