// SPDX-License-Identifier: AGPL-3.0-or-later
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { nodeNames } from "../../src/common/cluster.js";
import { codeOf } from "../../src/common/errors.js";
import { initiatorName, readNodeRecord, writeNodeRecord } from "../../src/common/node-record.js";

const record = { version: "1.2.3", protocol: 1, initiator: "iqn.x:a" };

function cluster(t: ExecutionContext, ...nodes: string[]): string {
  const dir = mkdtempSync(join(tmpdir(), "blockio-cluster-"));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  for (const node of nodes) mkdirSync(join(dir, "nodes", node, "qemu-server"), { recursive: true });
  return dir;
}

test("a node reads what another has written; what is unchanged is not written again", async (t) => {
  const dir = cluster(t, "a", "b");
  t.is(await readNodeRecord("a", dir), undefined);
  await writeNodeRecord("a", record, dir);
  t.deepEqual(await readNodeRecord("a", dir), record);
  const { ino } = statSync(join(dir, "nodes/a/pve-blockio.json"));
  await writeNodeRecord("a", record, dir);
  t.is(statSync(join(dir, "nodes/a/pve-blockio.json")).ino, ino);
  await writeNodeRecord("a", { ...record, version: "1.2.4" }, dir);
  t.is((await readNodeRecord("a", dir))?.version, "1.2.4");
  t.deepEqual(readdirSync(join(dir, "nodes/a")).sort(), ["pve-blockio.json", "qemu-server"]);
});

test("a node that the cluster does not have is not made", async (t) => {
  const dir = cluster(t, "a");
  t.is(codeOf(await writeNodeRecord("ghost", record, dir).catch((error: unknown) => error)), "absent");
  t.deepEqual(await nodeNames(dir), ["a"]);
});

test("what is no record counts as none", async (t) => {
  const dir = cluster(t, "a");
  for (const text of ["", "null", "[]", '{"version":7}', "{"]) {
    writeFileSync(join(dir, "nodes/a/pve-blockio.json"), text);
    t.is(await readNodeRecord("a", dir), undefined, text);
  }
});

test("the initiator name is open-iscsi's, not that of a comment", async (t) => {
  const dir = cluster(t);
  t.is(await initiatorName(dir), undefined);
  mkdirSync(join(dir, "etc/iscsi"), { recursive: true });
  writeFileSync(
    join(dir, "etc/iscsi/initiatorname.iscsi"),
    "## InitiatorName=no\n#InitiatorName=no\nInitiatorName = iqn.x:yes \n",
  );
  t.is(await initiatorName(dir), "iqn.x:yes");
});
