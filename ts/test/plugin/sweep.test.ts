// SPDX-License-Identifier: AGPL-3.0-or-later
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { JovianSimulator, type SimulatorOptions } from "../../sim/joviandss/index.js";
import { joviandssType, openDriver } from "../../src/arrays/joviandss/type.js";
import { codeOf } from "../../src/common/errors.js";
import { IscsiConnector } from "../../src/connectors/iscsi.js";
import { Storages } from "../../src/plugin/storage.js";
import { strayLinks } from "../../src/plugin/stray-links.js";
import { leftovers, removeLeftover } from "../../src/plugin/sweep.js";
import { quick } from "../arrays/joviandss/fake.js";
import { FakeNode } from "../connectors/fake-node.js";

const cluster = mkdtempSync(join(tmpdir(), "blockio-sweep-"));
process.env["PVE_BLOCKIO_CLUSTER_DIR"] = cluster;
process.on("exit", () => rmSync(cluster, { recursive: true, force: true }));
const prefix = "iqn.2025-06.proxmox.pool-0";
const initiator = "iqn.1993-08.org.debian:01:a";
const mib = 1n << 20n;
const hour = 3_600_000;

/** Says on which node a guest is. Each test has guests of its own. */
function guestOn(node: string, vmid: number, config = "cores: 1\n"): void {
  mkdirSync(join(cluster, "nodes", node, "qemu-server"), { recursive: true });
  writeFileSync(join(cluster, "nodes", node, "qemu-server", `${vmid}.conf`), config);
}

/** A node with fake disks, and a storage on a simulated array. */
async function bench(t: ExecutionContext, options: SimulatorOptions = {}) {
  const sim = await JovianSimulator.start(options);
  const node = FakeNode.create(t);
  const links = join(node.root, "run/dev");
  const connector = new IscsiConnector(node, node.root);
  const type = {
    ...joviandssType,
    createDriver: (...[scfg, environment]: Parameters<typeof joviandssType.createDriver>) =>
      openDriver(scfg, environment, { pace: { limits: quick }, initiator: async () => initiator }),
  };
  const storages = new Storages({ name: "node-a" }, undefined, () => type, {
    connectorOf: () => connector,
    links,
    closingMs: 50,
    layer: node,
    root: node.root,
  });
  t.teardown(async () => {
    await storages.close();
    await sim.close();
  });
  const storage = storages.open("jdss", {
    type: "joviandss",
    pool_name: "Pool-0",
    user_password: sim.password,
    ssl_cert_verify: 0,
    control_addresses: sim.addresses.join(","),
    control_port: sim.port,
    target_prefix: `${prefix}:`,
    log_file: join(node.root, "log"),
    multipath: 1,
  });
  const ctx = node.context();
  /** Makes a volume and activates it. */
  const active = async (name: string) => {
    const ref = await storage.driver.createVolume(ctx, storage.names.parse(name), mib);
    const at = await storage.driver.publish(ctx, ref, undefined, storage.host);
    if (at.kind !== "iscsi") throw new Error(at.kind);
    node.export(at.iqn, at.lun, at.wwid, mib);
    await storage.attach(ctx, ref, undefined);
    mkdirSync(join(node.root, "dev/mapper"), { recursive: true });
    writeFileSync(join(node.root, "dev", node.maps.get(at.wwid)?.node ?? "dm"), "");
    symlinkSync(`../${node.maps.get(at.wwid)?.node}`, join(node.root, "dev/mapper", at.wwid));
    return { ref, ...at, link: join(links, "jdss", name) };
  };
  const look = async () => (await leftovers(storage, ctx)).map(({ why: _, ...rest }) => rest);
  const remove = (kind: string, name: string, vmid?: number) =>
    removeLeftover(storage, ctx, { kind, name, vmid });
  return { sim, node, storage, ctx, links, active, look, remove };
}

/** As if so many milliseconds had passed. */
async function later<T>(ms: number, body: () => Promise<T>): Promise<T> {
  const now = Date.now;
  Date.now = () => now() + ms;
  try {
    return await body();
  } finally {
    Date.now = now;
  }
}

test.serial(
  "an active volume is no leftover, its disk without a link is one, and goes with its session",
  async (t) => {
    const { node, active, look, remove } = await bench(t);
    const { link, iqn, wwid } = await active("vm-100-disk-0");
    t.deepEqual(await look(), []);
    unlinkSync(link);
    const name = `${iqn} ${wwid}`;
    t.deepEqual(await look(), [{ kind: "disk", name, vmid: 100 }]);
    await remove("disk", name, 100);
    t.deepEqual([node.devices.length, node.maps.size, await node.iscsiSessions("", iqn)], [0, 0, []]);
    t.false(node.hasRecords(iqn));
    t.deepEqual(await look(), []);
  },
);

test.serial("a disk that is in use is told with its users, and stays", async (t) => {
  const { node, active, look, remove } = await bench(t);
  const { link, iqn, wwid } = await active("vm-100-disk-0");
  unlinkSync(link);
  const map = node.maps.get(wwid)?.node ?? "";
  node.users.set(map, "mounted on '/mnt'");
  const name = `${iqn} ${wwid}`;
  t.deepEqual(await look(), [{ kind: "disk", name, vmid: 100, keep: "it is in use (mounted on '/mnt')" }]);
  await t.throwsAsync(remove("disk", name, 100), { message: /in use.*by hand/ });
  node.users.clear();
  // It came into use between the look and the removal.
  node.users.set(wwid, "kvm");
  t.is(codeOf(await remove("disk", name, 100).catch((error: unknown) => error)), "busy");
  t.is(node.maps.size, 1);
  t.is((await node.iscsiSessions("", iqn)).length, 2);
});

test.serial("what belongs to others is not even listed", async (t) => {
  const { node, look, remove } = await bench(t);
  const foreign = [
    "iqn.2025-06.proxmox.pool-1:vm-100-0",
    `${prefix}:backup`,
    `${prefix}x:vm-100-0`,
    `${prefix}:vm-100-0.x`,
  ];
  const connector = new IscsiConnector(node, node.root);
  for (const [index, iqn] of foreign.entries()) {
    const wwid = `2353534353633333${index}`;
    node.export(iqn, 0, wwid);
    const link = join(node.root, `other-${index}`);
    await connector.connect(
      node.context(),
      { kind: "iscsi", iqn, portals: ["10.0.0.1"], lun: 0, wwid },
      link,
    );
    unlinkSync(link);
  }
  t.deepEqual(await look(), []);
  await t.throwsAsync(remove("disk", `${foreign[0]} 23535343536333330`, 100), {
    message: /no leftover any more/,
  });
  t.is(node.devices.length, foreign.length);
});

test.serial("a disk that another target leads to as well is not taken away", async (t) => {
  const { node, active, look, remove } = await bench(t);
  const { link, iqn, wwid } = await active("vm-100-disk-0");
  unlinkSync(link);
  node.devices.push({
    name: "sdz",
    hctl: { host: 9, channel: 0, target: 0, lun: 0 },
    wwid,
    size: mib,
    state: "running",
  });
  const name = `${iqn} ${wwid}`;
  t.is((await look()).length, 1);
  await t.throwsAsync(remove("disk", name, 100), { message: /sdz.*another target/ });
  t.is(node.devices.length, 3);
});

test.serial("a volume whose guest is elsewhere is one after a while, unless it is in use", async (t) => {
  const { node, active, look, remove } = await bench(t);
  const { link, wwid } = await active("vm-101-disk-0");
  const name = "vm-101-disk-0";
  t.deepEqual(await look(), [], "its guest is nowhere: it may be in the making");
  guestOn("node-b", 101, "lock: migrate\n");
  t.deepEqual(await later(hour, look), [], "it is on its way");
  guestOn("node-b", 101);
  t.regex((await look())[0]?.keep ?? "", /less than ten minutes/);
  await later(hour, async () => {
    t.deepEqual(await look(), [{ kind: "volume", name, vmid: 101 }]);
    node.users.set(node.maps.get(wwid)?.node ?? "", "kvm");
    t.regex((await look())[0]?.keep ?? "", /in use \(kvm\)/);
    await t.throwsAsync(remove("volume", name, 101), { message: /in use/ });
    node.users.clear();
    await remove("volume", name, 101);
  });
  t.deepEqual([node.devices.length, node.maps.size, existsSync(link)], [0, 0, false]);
});

test.serial("a volume of a guest of this node stays, whatever its age", async (t) => {
  const { active, look } = await bench(t);
  await active("vm-102-disk-0");
  guestOn("node-a", 102);
  t.deepEqual(await later(48 * hour, look), []);
});

test.serial("a volume that the array has lost goes with its disk", async (t) => {
  const { sim, node, active, look, remove } = await bench(t);
  const { link, ref, iqn } = await active("vm-103-disk-0");
  guestOn("node-a", 103);
  sim.pool().volumes.delete(`v_${ref.name}`);
  await later(hour, async () => {
    t.deepEqual(await look(), [{ kind: "volume", name: "vm-103-disk-0", vmid: 103 }]);
    await remove("volume", "vm-103-disk-0", 103);
  });
  t.deepEqual([node.devices.length, node.maps.size, existsSync(link)], [0, 0, false]);
  t.deepEqual(await node.iscsiSessions("", iqn), []);
});

test.serial("an array that does not answer makes nothing a leftover", async (t) => {
  const { sim, node, active, look } = await bench(t);
  await active("vm-104-disk-0");
  guestOn("node-b", 104);
  for (const address of sim.addresses) await sim.setAddress(address, "refusing");
  t.is(codeOf(await later(hour, look).catch((error: unknown) => error)), "unreachable");
  t.is(node.maps.size, 1);
});

test.serial("a link that leads nowhere, a session and a record without disks", async (t) => {
  const { node, links, look, remove } = await bench(t);
  mkdirSync(join(links, "jdss"), { recursive: true });
  symlinkSync("/dev/mapper/gone", join(links, "jdss/vm-105-disk-0"));
  const iqn = `${prefix}:vm-105-0`;
  node.export(iqn, 0, "23535343536333335");
  const connector = new IscsiConnector(node, node.root);
  const link = join(node.root, "x");
  await connector.connect(
    node.context(),
    { kind: "iscsi", iqn, portals: ["10.0.0.1"], lun: 0, wwid: "23535343536333335" },
    link,
  );
  unlinkSync(link);
  node.devices.length = 0;
  node.maps.clear();
  t.deepEqual(await look(), [
    { kind: "link", name: "vm-105-disk-0", vmid: 105 },
    { kind: "session", name: iqn, vmid: 105 },
  ]);
  await remove("link", "vm-105-disk-0", 105);
  writeFileSync(join(node.root, "sessions"), "");
  t.deepEqual(await look(), [{ kind: "record", name: iqn, vmid: 105 }]);
  await remove("record", iqn, 105);
  t.deepEqual(await look(), []);
  t.false(existsSync(join(links, "jdss")));
});

test.serial("the lock of another guest does not do", async (t) => {
  const { active, remove } = await bench(t);
  const { link, iqn, wwid } = await active("vm-100-disk-0");
  unlinkSync(link);
  for (const vmid of [undefined, 101]) {
    const error = await remove("disk", `${iqn} ${wwid}`, vmid).catch((thrown: unknown) => thrown);
    t.is(codeOf(error), "absent");
  }
});

test.serial(
  "on the array: old exports that nobody reads, empty targets, snapshots of clones that are gone",
  async (t) => {
    const { sim, storage, ctx, look, remove } = await bench(t, { now: () => Date.now() - 48 * hour });
    const { driver, names } = storage;
    const ref = await driver.createVolume(ctx, names.parse("vm-100-disk-0"), mib);
    await driver.createSnapshot(ctx, ref, "one");
    const at = await driver.publish(ctx, ref, "one", storage.host);
    if (at.kind !== "iscsi") throw new Error(at.kind);
    const session = sim.login({
      iqn: at.iqn,
      initiator: "iqn.x:b",
      ip: "192.0.2.2",
      portal: sim.addresses[0] ?? "",
    });
    t.deepEqual(await look(), [], "another node reads it");
    sim.logout(session);
    const clone = await driver.cloneVolume(ctx, ref, undefined, names.parse("vm-101-disk-0"));
    sim.pool().volumes.delete(`v_${clone.name}`);
    const found = await look();
    t.deepEqual(found.map(({ kind }) => kind).sort(), ["export", "snapshot"]);
    for (const { kind, name, vmid } of found) await remove(kind, name, vmid);
    t.deepEqual(await look(), []);
    t.deepEqual([...sim.pool().volumes.keys()], ["v_vm-100-disk-0"]);
    t.deepEqual(
      [...sim.pool().snapshots].map(({ name }) => name),
      ["s_one"],
    );
    const volume = sim.pool().volumes.get("v_vm-100-disk-0");
    await driver.publish(ctx, ref, undefined, storage.host);
    for (const target of sim.pool().targets.values()) target.luns.clear();
    const [target] = await look();
    t.is(target?.kind, "target");
    await remove("target", target?.name ?? "", 100);
    t.is(sim.pool().targets.size, 0);
    t.is(sim.pool().volumes.get("v_vm-100-disk-0"), volume);
  },
);

test.serial("what is young on the array is left to the node that makes it", async (t) => {
  const { sim, storage, ctx, look, remove } = await bench(t);
  const ref = await storage.driver.createVolume(ctx, storage.names.parse("vm-100-disk-0"), mib);
  await storage.driver.createSnapshot(ctx, ref, "one");
  await storage.driver.publish(ctx, ref, "one", storage.host);
  const [young] = await look();
  t.regex(young?.keep ?? "", /younger than an hour/);
  await t.throwsAsync(remove("export", young?.name ?? "", 100), { message: /younger/ });
  t.is(sim.pool().volumes.size, 2);
});

test("links of storages that are gone are told, and no more", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "blockio-links-"));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  for (const storage of ["kept", "gone"]) {
    mkdirSync(join(dir, storage));
    symlinkSync("/dev/sdx", join(dir, storage, "vm-1-disk-0"));
  }
  const found = await strayLinks(["kept"], dir);
  t.deepEqual(
    found.map(({ storage, name }) => `${storage}/${name}`),
    ["gone/vm-1-disk-0"],
  );
  t.regex(found[0]?.keep ?? "", /add the storage again/);
});
