// SPDX-License-Identifier: AGPL-3.0-or-later
import { existsSync, lstatSync, readlinkSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { dispatch } from "../../../src/bridge/dispatch.js";
import { requestSchema } from "../../../src/bridge/protocol.js";
import { clusterDirectory } from "../../../src/common/cluster.js";
import { codeOf } from "../../../src/common/errors.js";
import { mib, Nodes, refOf, type Section } from "./nodes.js";

/** What stands for an array that is away: nobody listens, or somebody who never answers. */
const ways = ["refusing", "mute"] as const;
const patient = { limits: { connectMs: 3_000, queryMs: 30_000, probeMs: 3_400, pausesMs: [500, 1_000] } };

for (const way of ways) {
  test(`the state of a storage is told within five seconds while controllers are ${way}`, async (t) => {
    const controllers = ["127.0.0.1", "127.0.0.2"];
    const n = await Nodes.start(t, { simulator: { controllers }, options: patient });
    for (const address of controllers) await n.sim.setController(address, way);
    const { driver } = n.at("pve1");
    for (const verb of [() => driver.capacity(n.ctx), () => driver.check(n.ctx)]) {
      const started = performance.now();
      t.is(codeOf(await t.throwsAsync(verb)), "unreachable");
      t.true(performance.now() - started < 5_000, `${performance.now() - started} ms`);
    }
  });
}

/** How a request differs from the usual one. */
interface Asked {
  readonly storeid?: string;
  readonly section?: Section;
  readonly deadlineMs?: number;
}

/** One request to the service of a node, as PVE makes it. */
function ask(
  n: Nodes,
  method: string,
  args: object = {},
  { storeid = "linstor", section, deadlineMs }: Asked = {},
) {
  const service = n.services.get("pve1");
  if (!service) throw new Error("no service");
  const scfg = { ...n.section, ...section };
  const request = requestSchema.parse({ id: 1, method, storeid, scfg, args, deadlineMs });
  return dispatch(service, request, { leases: new Map(), signal: n.ctx.signal, log: n.ctx.log });
}

async function timed(call: Promise<unknown>): Promise<{ readonly result: unknown; readonly ms: number }> {
  const started = performance.now();
  const result = await call.catch((error: unknown) => codeOf(error));
  return { result, ms: performance.now() - started };
}

for (const way of ways) {
  test(`while controllers are ${way} PVE may use the storage, and is told so soon; its status is unknown`, async (t) => {
    const controllers = ["127.0.0.1", "127.0.0.2"];
    const n = await Nodes.start(t, { simulator: { controllers }, options: patient });
    const [active = ""] = n.sim.controllers;
    for (const address of controllers) await n.sim.setController(address, way);
    const check = await timed(ask(n, "check_connection"));
    t.true(check.result);
    t.true(check.ms < 5_000, `${check.ms} ms`);
    // What PVE asks next does not wait for the same silence again.
    for (const [method, expected] of [
      ["activate_storage", null],
      ["status", "unreachable"],
    ] as const) {
      const { result, ms } = await timed(ask(n, method));
      t.is(result, expected, method);
      t.true(ms < 3_000, `${method}: ${ms} ms`);
    }
    // What PVE wanted of the storage, for which it asked all that.
    for (const [method, args] of [
      ["alloc_image", { vmid: 100, format: "raw", name: null, size: "4194304" }],
      ["list_images", { vmid: null, vollist: null }],
      ["free_image", { volname: "vm-100-disk-0" }],
      ["volume_resize", { volname: "vm-100-disk-0", size: "8388608", running: 0 }],
      ["volume_snapshot", { volname: "vm-100-disk-0", snap: "s1" }],
    ] as const) {
      const { result, ms } = await timed(ask(n, method, args));
      t.is(result, "unreachable", method);
      t.true(ms < 3_000, `${method}: ${ms} ms`);
    }
    t.is(n.lines.filter((line) => line.includes("can be used")).length, 1, "said once");
    await n.sim.failover(active);
    t.true(await ask(n, "check_connection"));
    t.like(await ask(n, "status"), { active: true }, "known again with the first answer");
  });
}

test("PVE may use the storage although calls that wait for the controllers are in the way", async (t) => {
  const n = await Nodes.start(t, { options: patient });
  await n.sim.setController("127.0.0.1", "mute");
  const held = Promise.all(
    Array.from({ length: 40 }, () => timed(ask(n, "list_images", {}, { deadlineMs: 8_000 }))),
  );
  const { result, ms } = await timed(ask(n, "check_connection", {}, { deadlineMs: 1_000 }));
  t.true(result);
  t.true(ms < 6_000, `${ms} ms`);
  await held;
});

test("what a controller says against the storage is no silence", async (t) => {
  const n = await Nodes.start(t, { section: { resourcegroup: "other" } });
  for (const method of ["check_connection", "activate_storage"])
    t.is(codeOf(await t.throwsAsync(ask(n, method))), "absent", method);
});

test("a storage whose controllers do not answer is not added, and nothing is kept of it", async (t) => {
  const n = await Nodes.start(t);
  const add = (section: Section) =>
    ask(
      n,
      "on_add_hook",
      { sensitive: { apitoken: "hush" } },
      { storeid: "added", section: { controller: "https://127.0.0.9:9", ...section } },
    );
  const secret = join(clusterDirectory(), "priv/storage/drbd/added.pw");
  t.is(codeOf(await t.throwsAsync(add({}))), "unreachable");
  t.false(existsSync(secret));
  for (const section of [{ disable: 1 }, { nodes: { pve2: true } }]) {
    t.is(await add(section), null, "not used on this node");
    t.true(existsSync(secret));
    rmSync(secret);
  }
});

test("the controller that has moved to another node is found, and asked from then on", async (t) => {
  const controllers = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
  const n = await Nodes.start(t, { simulator: { controllers } });
  await n.disk("vm-100-disk-0");
  await n.sim.failover("127.0.0.3");
  await n.disk("vm-100-disk-1");
  const asked = n.sim.journal.entries.slice(-3).map(({ address }) => address);
  t.deepEqual([...new Set(asked)], ["127.0.0.3"]);
});

test("a controller that is away for a moment is waited for", async (t) => {
  const n = await Nodes.start(t, { options: { limits: { pausesMs: [100, 200, 400, 800] } } });
  await n.sim.failover(null);
  setTimeout(() => void n.sim.failover("127.0.0.1"), 300);
  await n.disk();
  t.deepEqual(n.sim.check(), []);
});

test("the capacity is that of the group, and as old as statuscache allows", async (t) => {
  const n = await Nodes.start(t, {
    simulator: { nodes: ["pve1", "pve2"], pools: [{ name: "ssd", kind: "ZFS", capacity: 2 ** 40 }] },
  });
  const fresh = n.at("pve1", { statuscache: 0 }).driver;
  const cached = n.at("pve1", { statuscache: 60 }).driver;
  const before = await cached.capacity(n.ctx);
  t.true(before.total > 0n && before.available <= before.total);
  await n.disk("vm-100-disk-0", 1024n * mib);
  t.deepEqual(await cached.capacity(n.ctx), before);
  const now = await fresh.capacity(n.ctx);
  t.true(now.available < before.available);
  t.is(now.used, now.total - now.available);
});

test("a group that does not exist is told", async (t) => {
  const n = await Nodes.start(t);
  const { driver } = n.at("pve1", { resourcegroup: "other" });
  t.is(codeOf(await t.throwsAsync(() => driver.check(n.ctx))), "absent");
  t.true(["absent", "refused"].includes(codeOf(await t.throwsAsync(() => driver.capacity(n.ctx)))));
});

const root = process.getuid?.() === 0;
const withDevices = root ? test.serial : test.serial.skip;
const why = root ? "" : " [not run: loop devices need root]";

async function real(t: ExecutionContext): Promise<Nodes> {
  return Nodes.start(t, { real: true, options: { limits: { probeMs: 1_000, pausesMs: [200, 400] } } });
}

withDevices(`a guest whose disk is on the node starts and stops without any controller${why}`, async (t) => {
  const n = await real(t);
  const disk = await n.disk();
  const storage = n.at("pve1");
  await n.sim.failover(null);
  const path = await storage.attach(n.ctx, disk, undefined);
  t.is(readlinkSync(path), join(n.top, "dev/pve1/drbd/by-res", disk.name, "0"));
  const guest = await open(path, "r+");
  t.is(codeOf(await t.throwsAsync(() => storage.detach(n.ctx, disk, undefined))), "busy");
  await guest.close();
  await storage.detach(n.ctx, disk, undefined);
  t.throws(() => lstatSync(path), undefined, "the path is gone");
  await storage.attach(n.ctx, disk, undefined);
  t.is(codeOf(await t.throwsAsync(() => storage.driver.deleteVolume(n.ctx, disk))), "unreachable");
  await n.sim.failover("127.0.0.1");
  await storage.detach(n.ctx, disk, undefined);
  t.true(await storage.driver.deleteVolume(n.ctx, disk));
  t.deepEqual(n.sim.check(), []);
});

withDevices(`PVE starts a guest whose disk is on the node without any controller${why}`, async (t) => {
  const n = await real(t);
  const { volname } = await n.disk();
  await n.sim.failover(null);
  for (const method of ["check_connection", "activate_storage"])
    await t.notThrowsAsync(ask(n, method), method);
  const asked = () => n.lines.filter((line) => line.includes('"message":"request"')).length;
  await ask(n, "check_connection"); // the silence is remembered for some seconds from here
  const before = asked();
  t.true(before > 0);
  await ask(n, "activate_volume", { volname });
  const { path } = (await ask(n, "map_volume", { volname })) as { path: string };
  await ask(n, "volume_size_info", { volname });
  const guest = await open(path, "r+");
  await guest.close();
  await ask(n, "deactivate_volume", { volname });
  t.is(asked(), before, "nobody waits for the same silence again");
});

withDevices(`the size of a disk that is on the node is told without any controller${why}`, async (t) => {
  const n = await real(t);
  const disk = await n.disk("vm-100-cloudinit", 4n * mib);
  const size = async (volname: string) =>
    ((await ask(n, "volume_size_info", { volname })) as { size: string }).size;
  const before = await size(disk.volname);
  await n.sim.failover(null);
  const { result, ms } = await timed(size(disk.volname));
  t.is(result, before);
  t.true(ms < 4_000, `${ms} ms`);
  t.is((await timed(size("vm-100-disk-7"))).result, "unreachable", "not on the node: nobody knows");
  // What goes by whether a volume exists is not told by the device.
  const { driver } = n.at("pve1");
  t.is(codeOf(await t.throwsAsync(() => driver.getVolume(n.ctx, disk))), "unreachable");
});

withDevices(`without controller no name leads to the disk of another guest${why}`, async (t) => {
  const n = await real(t);
  const storage = n.at("pve1");
  const disk = await n.disk("vm-100-disk-0");
  const given = await storage.driver.renameVolume(n.ctx, disk, refOf("vm-101-disk-0"));
  const again = await n.disk("vm-100-disk-0");
  // The storage was removed and added again: an activation finds out.
  rmSync(join(n.top, "names"), { recursive: true });
  for (const ref of [given, again]) await storage.attach(n.ctx, ref, undefined);
  await n.sim.failover(null);
  const device = async (name: string) => readlinkSync(await storage.attach(n.ctx, refOf(name), undefined));
  const one = await device(given.name);
  const other = await device(again.name);
  t.regex(one, /\/by-res\/vm-100-disk-0\/0$/);
  t.regex(other, /\/by-res\/vm-100-disk-0-h[a-z2-7]{10}\/0$/);
  await n.sim.failover("127.0.0.1");
  for (const ref of [given, again]) {
    await storage.detach(n.ctx, ref, undefined);
    t.true(await storage.driver.deleteVolume(n.ctx, ref));
  }
  const last = await n.disk("vm-100-disk-0");
  await n.sim.failover(null);
  t.regex(await device(last.name), /\/by-res\/vm-100-disk-0\/0$/);
});

withDevices(`a volume that was given away is not found without controller${why}`, async (t) => {
  const n = await real(t);
  const storage = n.at("pve1");
  const disk = await n.disk("vm-100-disk-0");
  await storage.driver.renameVolume(n.ctx, disk, refOf("vm-101-disk-0"));
  await n.sim.failover(null);
  t.is(codeOf(await t.throwsAsync(() => storage.attach(n.ctx, disk, undefined))), "unreachable");
  await n.sim.failover("127.0.0.1");
  t.is(codeOf(await t.throwsAsync(() => storage.attach(n.ctx, disk, undefined))), "absent");
});

withDevices(`a device that udev names later, and one that grows later, are waited for${why}`, async (t) => {
  const n = await real(t);
  n.sim.configure({ linkDelayMs: 400, growDelayMs: 400 });
  const disk = await n.disk();
  const storage = n.at("pve3");
  const path = await storage.attach(n.ctx, disk, undefined);
  const guest = await open(path, "r");
  try {
    await storage.driver.resizeVolume(n.ctx, disk, 64n * mib);
    await storage.refresh(n.ctx, disk, 64n * mib);
    const { bytesRead } = await guest.read(Buffer.alloc(512), 0, 512, Number(64n * mib) - 512);
    t.is(bytesRead, 512);
  } finally {
    await guest.close();
  }
});
