// SPDX-License-Identifier: AGPL-3.0-or-later
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { Cluster, type Guest } from "../../../src/arrays/guest.js";
import { type Holder, takeover } from "../../../src/arrays/storpool/takeover.js";

const beside = { running: [], force: false, down: [] };
const politely = { running: [12], force: false, down: [] };
const forced = { running: [12], force: true, down: [] };
const fenced = { running: [], force: false, down: [13] };
const up: Holder = { client: 12, running: true };
const down: Holder = { client: 13, running: false };

/** The decision on node-a. */
const decide = (guest: Guest | undefined, ...holders: Holder[]) =>
  takeover("'vm-100-disk-0'", "node-a", guest, holders);

test("without a configuration of the guest nobody loses the volume", (t) => {
  t.deepEqual(decide(undefined), beside);
  t.deepEqual(decide(undefined, up), beside);
  t.deepEqual(decide(undefined, down), beside);
});

test("a live migration has the volume on both nodes, whoever owns the guest", (t) => {
  for (const node of ["node-a", "node-b"]) {
    t.deepEqual(decide({ node, lock: "migrate" }, up), beside);
    t.deepEqual(decide({ node, lock: "migrate" }, down), beside);
    t.deepEqual(decide({ node, ha: { state: "migrate", node: "node-b" } }, up), beside);
  }
});

test("a node that does not own the guest is refused, also when nobody has the volume", (t) => {
  for (const holders of [[], [up], [down]]) {
    t.throws(() => decide({ node: "node-b" }, ...holders), { code: "refused", message: /'node-b'/ });
  }
  t.throws(() => decide({ node: "node-b", ha: { state: "started", node: "node-a" } }, down), {
    code: "refused",
  });
});

test("a volume that nobody has is taken from nobody", (t) => {
  t.deepEqual(decide({ node: "node-a" }), beside);
  t.deepEqual(decide({ node: "node-a", lock: "backup" }), beside);
});

test("clients that are down lose the volume by force, also of a locked guest", (t) => {
  t.deepEqual(decide({ node: "node-a" }, down), fenced);
  const both = { running: [], force: false, down: [13, 14] };
  t.deepEqual(decide({ node: "node-a" }, down, { client: 14, running: false }), both);
  t.deepEqual(decide({ node: "node-a", lock: "backup" }, down), fenced);
});

test("a running client loses the volume without force", (t) => {
  t.deepEqual(decide({ node: "node-a" }, up), politely);
  t.deepEqual(decide({ node: "node-a" }, down, up), { running: [12], force: false, down: [13] });
});

test("a running client keeps the volume of a locked guest; it and the lock are named", (t) => {
  t.throws(() => decide({ node: "node-a", lock: "backup" }, up), {
    code: "busy",
    message: /client 12 .*\(backup\)/,
  });
  const recovered = { state: "started", node: "node-a" };
  t.throws(() => decide({ node: "node-a", lock: "backup", ha: recovered }, up), { code: "busy" });
  t.throws(() => decide({ node: "node-a", lock: "snapshot-delete" }, down, up), { code: "busy" });
});

test("a running client loses the volume by force only to the node where the HA manager started the guest", (t) => {
  const node = "node-a";
  t.deepEqual(decide({ node, ha: { state: "started", node } }, up), forced);
  t.deepEqual(decide({ node, ha: { state: "started", node: "node-b" } }, up), politely);
  t.deepEqual(decide({ node, ha: { state: "started" } }, up), politely);
  for (const state of ["stopped", "request_stop", "freeze", "fence", "recovery", "error", "relocate"]) {
    t.deepEqual(decide({ node, ha: { state, node } }, up), politely, state);
  }
});

/** A cluster file system with these files. */
function cluster(t: ExecutionContext, files: Readonly<Record<string, string>>): Cluster {
  const root = mkdtempSync(join(tmpdir(), "blockio-pve-"));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return new Cluster(root);
}

test("a guest is found on the node that has its configuration, a container too", async (t) => {
  const pve = cluster(t, {
    "nodes/node-a/qemu-server/100.conf": "cores: 1\n",
    "nodes/node-b/qemu-server/1000.conf": "cores: 1\n",
    "nodes/node-b/lxc/101.conf": "lock: backup\n",
  });
  t.deepEqual(await pve.guest(100), { node: "node-a" });
  t.deepEqual(await pve.guest(101), { node: "node-b", lock: "backup" });
  t.deepEqual(await pve.guest(1000), { node: "node-b" });
  t.is(await pve.guest(10), undefined);
});

test("only the lock of the main section counts, and only a line of its own", async (t) => {
  const pve = cluster(t, {
    "nodes/node-a/qemu-server/100.conf": "lock: migrate\ncores: 1\n\n[s1]\nlock: backup\n",
    "nodes/node-a/qemu-server/101.conf": "cores: 1\n\n[s1]\nlock: migrate\n",
    "nodes/node-a/qemu-server/102.conf": "#lock: migrate\nname: lock: migrate\n[PENDING]\nlock: migrate\n",
    "nodes/node-a/qemu-server/103.conf": "cores: 1\nlock: snapshot-delete",
  });
  t.is((await pve.guest(100))?.lock, "migrate");
  t.is((await pve.guest(101))?.lock, undefined);
  t.is((await pve.guest(102))?.lock, undefined);
  t.is((await pve.guest(103))?.lock, "snapshot-delete");
});

test("the HA manager's word on a guest is that on its kind and number", async (t) => {
  const service_status = {
    "vm:100": { state: "started", node: "node-a" },
    "ct:101": { state: "migrate", node: "node-b" },
    "vm:101": { state: "error", node: "node-a" },
    "vm:102": { state: "queued" },
    "vm:103": {},
  };
  const guests = { "nodes/node-a/lxc/101.conf": "" } as Record<string, string>;
  for (const vmid of [100, 102, 103, 104]) guests[`nodes/node-a/qemu-server/${vmid}.conf`] = "";
  const pve = cluster(t, { ...guests, "ha/manager_status": JSON.stringify({ service_status }) });
  t.deepEqual((await pve.guest(100))?.ha, { state: "started", node: "node-a" });
  t.deepEqual((await pve.guest(101))?.ha, { state: "migrate", node: "node-b" });
  t.deepEqual((await pve.guest(102))?.ha, { state: "queued" });
  t.is((await pve.guest(103))?.ha, undefined);
  t.is((await pve.guest(104))?.ha, undefined);
});

test("a cluster without HA manager, or one that never ran, says nothing of guests", async (t) => {
  const guest = { "nodes/node-a/qemu-server/100.conf": "" };
  for (const files of [{}, { "ha/manager_status": "" }, { "ha/manager_status": "{}" }]) {
    t.deepEqual(await cluster(t, { ...guest, ...files }).guest(100), { node: "node-a" });
  }
});

test("a damaged state of the HA manager is an error, not the absence of HA", async (t) => {
  const guest = { "nodes/node-a/qemu-server/100.conf": "" };
  const pve = cluster(t, { ...guest, "ha/manager_status": '{"service_status":' });
  await t.throwsAsync(pve.guest(100), { message: /guest 100/ });
});

test("without a cluster file system there are no guests and there is no name", async (t) => {
  const pve = new Cluster(join(tmpdir(), "blockio-no-such-directory"));
  t.is(await pve.guest(100), undefined);
  t.is(await pve.name(), undefined);
  t.is(await cluster(t, {}).name(), undefined);
});

test("the cluster's name is that of corosync's configuration", async (t) => {
  const named = (text: string) => cluster(t, { "corosync.conf": text }).name();
  t.is(await named("totem {\n  cluster_name: prod-1\n  version: 2\n}\n"), "prod-1");
  t.is(await named("totem {\n\tcluster_name:prod-1\n}\n"), "prod-1");
  t.is(await named("totem {\n  version: 2\n}\n# cluster_name: old\n"), undefined);
});
