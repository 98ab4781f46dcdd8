// SPDX-License-Identifier: AGPL-3.0-or-later
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import anyTest, { type ExecutionContext } from "ava";
import { LinstorSimulator, type SimulatorOptions } from "../../sim/linstor/index.js";
import { eventually } from "../eventually.js";
import { codeOf, type Row, type Session, session } from "./linstor.js";
import { cannotLoop, loopsOver, read, sizeOf, write } from "./machine.js";

const reason = cannotLoop();
const test = reason === undefined ? anyTest.serial : anyTest.serial.skip;
const title = (text: string) => (reason === undefined ? text : `${text} (${reason})`);

interface Machine {
  readonly s: Session;
  readonly data: string;
  readonly devices: string;
  /** Path of DRBD's stable link on a node. */
  readonly link: (node: string, name: string) => string;
}

async function machine(t: ExecutionContext, options: SimulatorOptions = {}): Promise<Machine> {
  const top = mkdtempSync(join(tmpdir(), "blockio-linstor-"));
  t.teardown(() => rmSync(top, { recursive: true, force: true }));
  const [data, devices] = [join(top, "data"), join(top, "dev")];
  const s = await session(t, { data, devices, ...options });
  return { s, data, devices, link: (node, name) => join(devices, node, "drbd/by-res", name, "0") };
}

const stateOf = async (s: Session, name: string, node: string) =>
  (await s.rows(name)).find((row) => row["node_name"] === node)?.["state"];

test(title("what one node writes is read on all others, also where there is no disk"), async (t) => {
  const { s, link, devices } = await machine(t);
  await s.spawn("vm-100-disk-1");
  const usable = Number((await s.volume("vm-100-disk-1", "pve1"))["usable_size_kib"]) * 1024;
  t.is(sizeOf(link("pve1", "vm-100-disk-1")), usable);
  await write(link("pve1", "vm-100-disk-1"), "data", 4096);
  t.is(await read(link("pve2", "vm-100-disk-1"), 4, 4096), "data");
  t.is(await read(link("pve3", "vm-100-disk-1"), 4, 4096), "data");
  t.is(
    readlinkSync(join(devices, "pve1/drbd1000")),
    readlinkSync(link("pve1", "vm-100-disk-1")),
    "also under the name with the minor",
  );
  t.is(
    execFileSync("/sbin/blockdev", ["--getss", link("pve1", "vm-100-disk-1")], { encoding: "utf8" }),
    "512\n",
  );
  t.deepEqual(s.sim.check(), []);
  await s.do("DELETE", "resource-definitions/vm-100-disk-1");
  t.deepEqual(readdirSync(join(devices, "pve1/drbd/by-res")), []);
  t.deepEqual(s.sim.check(), []);
});

test(title("a resource is in use where its device is open, and cannot be deleted there"), async (t) => {
  const { s, link } = await machine(t);
  await s.spawn("vm-100-disk-1");
  t.deepEqual(await stateOf(s, "vm-100-disk-1", "pve3"), { in_use: false });
  const held = await open(link("pve3", "vm-100-disk-1"), "r+");
  t.teardown(() => held.close().catch(() => undefined));
  t.deepEqual(await stateOf(s, "vm-100-disk-1", "pve3"), { in_use: true });
  t.deepEqual(await stateOf(s, "vm-100-disk-1", "pve1"), { in_use: false });
  const refused = await s.say("DELETE", "resource-definitions/vm-100-disk-1");
  t.deepEqual(
    [refused.status, refused.entries.map(({ ret_code }) => ret_code)],
    [500, [-4611686018373385243n]],
  );
  t.is(
    codeOf((await s.say("DELETE", "resource-definitions/vm-100-disk-1/resources/pve3")).entries[0] as never),
    997,
  );
  await held.close();
  const reader = await open(link("pve3", "vm-100-disk-1"), "r");
  t.deepEqual(await stateOf(s, "vm-100-disk-1", "pve3"), { in_use: true });
  s.sim.configure({ inUse: "write" });
  t.deepEqual(await stateOf(s, "vm-100-disk-1", "pve3"), { in_use: false });
  await reader.close();
  await s.do("DELETE", "resource-definitions/vm-100-disk-1");
});

test(title("two nodes that write at once break a rule, unless their connection allows it"), async (t) => {
  const { s, link } = await machine(t);
  const path = "resource-definitions/vm-100-disk-1";
  await s.spawn("vm-100-disk-1");
  const first = await open(link("pve1", "vm-100-disk-1"), "r+");
  await s.do("PUT", `${path}/resource-connections/pve1/pve2`, {
    override_props: { "DrbdOptions/Net/allow-two-primaries": "yes" },
  });
  const second = await open(link("pve2", "vm-100-disk-1"), "r+");
  t.deepEqual(s.sim.check({ migrating: ["vm-100-disk-1"] }), []);
  t.regex(s.sim.check().join(), /PVE1\/PVE2 still has DrbdOptions/);
  const reader = await open(link("pve3", "vm-100-disk-1"), "r");
  t.deepEqual(s.sim.check({ migrating: true }), [], "a reader is no primary");
  const third = await open(link("pve3", "vm-100-disk-1"), "r+");
  await s.get("view/resources");
  for (const file of [first, second, third, reader]) await file.close();
  await s.do("PUT", `${path}/resource-connections/pve2/pve1`, {
    delete_props: ["DrbdOptions/Net/allow-two-primaries"],
  });
  t.deepEqual(s.sim.check(), [], "nobody looked while the third was open");
  const [one, other] = [
    await open(link("pve1", "vm-100-disk-1"), "r+"),
    await open(link("pve2", "vm-100-disk-1"), "r+"),
  ];
  await s.do("PUT", path, { override_props: { "Aux/x": "1" } });
  await one.close();
  await other.close();
  t.deepEqual(s.sim.check(), ["vm-100-disk-1: two primaries without permission, pve1 and pve2"]);
});

test(title("a snapshot keeps the old data; a restore and a rollback bring it back"), async (t) => {
  for (const kind of ["LVM_THIN", "ZFS", "FILE_THIN"] as const) {
    const { s, link } = await machine(t, { pools: [{ name: "ssd", kind }] });
    const path = "resource-definitions/vm-100-disk-1";
    await s.spawn("vm-100-disk-1");
    await write(link("pve1", "vm-100-disk-1"), "old");
    await s.do("POST", `${path}/snapshots`, { name: "before" });
    await write(link("pve1", "vm-100-disk-1"), "new");
    await s.do("PUT", `${path}/volume-definitions/0`, { size_kib: 16384 });
    t.true(sizeOf(link("pve3", "vm-100-disk-1")) >= 16 * 2 ** 20);
    await s.do("POST", "resource-definitions", {
      resource_definition: { name: "copy", resource_group_name: "rg1" },
    });
    await s.do("POST", `${path}/snapshot-restore-volume-definition/before`, { to_resource: "copy" });
    await s.do("POST", `${path}/snapshot-restore-resource/before`, { to_resource: "copy" });
    t.is(await read(link("pve2", "copy"), 3), "old");
    await write(link("pve2", "copy"), "own");
    await s.do("POST", `${path}/snapshot-rollback/before`);
    t.is(await read(link("pve3", "vm-100-disk-1"), 3), "old", kind);
    t.true(sizeOf(link("pve3", "vm-100-disk-1")) < 16 * 2 ** 20, kind);
    t.is(await read(link("pve1", "copy"), 3), "own", kind);
    t.deepEqual(s.sim.check(), [], kind);
    await s.sim.close();
  }
});

test(title("replicas without DRBD are independent copies, under the name of their pool"), async (t) => {
  const { s, devices } = await machine(t, {
    groups: [{ name: "rg1", layers: ["STORAGE"], pools: ["vg"] }],
    pools: [{ name: "vg", kind: "LVM" }],
  });
  await s.spawn("vm-100-disk-1");
  const path = (node: string) => join(devices, node, "vg/vm-100-disk-1_00000");
  t.is((await s.volume("vm-100-disk-1", "pve1"))["device_path"], "/dev/vg/vm-100-disk-1_00000");
  await write(path("pve1"), "mine");
  t.is(await read(path("pve2"), 4), "\0\0\0\0");
  t.is(await stateOf(s, "vm-100-disk-1", "pve1"), undefined, "which nobody calls in use");
  t.deepEqual(s.sim.check(), []);
});

test(title("the stable link comes later than the answer, the device itself at once"), async (t) => {
  const { s, link, devices } = await machine(t, { behaviour: { linkDelayMs: 3_000 } });
  await s.spawn("vm-100-disk-1");
  t.false(existsSync(link("pve1", "vm-100-disk-1")));
  t.true(existsSync(join(devices, "pve1/drbd1000")));
  t.deepEqual(s.sim.check(), []);
  t.true(await eventually(() => existsSync(link("pve1", "vm-100-disk-1"))));
  t.deepEqual(s.sim.check(), []);
});

test(title("a node whose satellite is away keeps its devices, and catches up afterwards"), async (t) => {
  const { s, link, data } = await machine(t);
  await s.spawn("vm-100-disk-1");
  await s.sim.setNode("pve2", false);
  t.true(existsSync(link("pve2", "vm-100-disk-1")));
  await s.do("DELETE", "resource-definitions/vm-100-disk-1");
  t.deepEqual((await s.definition("vm-100-disk-1"))["flags"], ["DELETE"]);
  t.true(existsSync(link("pve2", "vm-100-disk-1")));
  t.false(existsSync(link("pve1", "vm-100-disk-1")));
  t.deepEqual(s.sim.check({ empty: true }), []);
  await s.sim.setNode("pve2", true);
  t.false(existsSync(link("pve2", "vm-100-disk-1")));
  t.is((await s.get<Row[]>("resource-definitions")).length, 0);
  t.true(await eventually(() => loopsOver(data) === ""));
  t.deepEqual(s.sim.check(), []);
});

test(title("close takes everything down, also what is open"), async (t) => {
  const { s, data, devices, link } = await machine(t);
  await s.spawn("vm-100-disk-1");
  const held = await open(link("pve1", "vm-100-disk-1"), "r");
  await s.sim.close();
  await held.close();
  t.true(await eventually(() => loopsOver(data) === ""));
  t.deepEqual(readdirSync(data), []);
  t.deepEqual(readdirSync(devices), []);
});

anyTest("as anybody: files hold the data, and the check compares them", async (t) => {
  const data = mkdtempSync(join(tmpdir(), "blockio-linstor-"));
  t.teardown(() => rmSync(data, { recursive: true, force: true }));
  const s = await session(t, { data });
  const path = "resource-definitions/vm-100-disk-1";
  await s.spawn("vm-100-disk-1");
  const only = () => join(data, readdirSync(data).find((name) => name.endsWith(".raw")) ?? "");
  writeFileSync(only(), "old", { flag: "r+" });
  await s.do("POST", `${path}/snapshots`, { name: "before" });
  writeFileSync(only(), "new", { flag: "r+" });
  await s.do("POST", `${path}/snapshot-rollback/before`);
  await s.do("DELETE", `${path}/snapshots/before`);
  t.is(readFileSync(only()).subarray(0, 3).toString(), "old");
  t.deepEqual(s.sim.check(), []);
  writeFileSync(only(), "short");
  t.regex(s.sim.check().join(), /but its file has 5/);
  rmSync(only());
  t.regex(s.sim.check().join(), /but its file has gone/);
});

anyTest("as anybody: a start that fails leaves the directory as it was", async (t) => {
  const data = mkdtempSync(join(tmpdir(), "blockio-linstor-"));
  t.teardown(() => rmSync(data, { recursive: true, force: true }));
  const first = await session(t);
  const port = Number(new URL(first.sim.urls[0] ?? "").port);
  await t.throwsAsync(LinstorSimulator.start({ data, port }), { code: "EADDRINUSE" });
  t.deepEqual(readdirSync(data), []);
  await t.throwsAsync(LinstorSimulator.start({ devices: data }), { message: /need a data directory/ });
});
