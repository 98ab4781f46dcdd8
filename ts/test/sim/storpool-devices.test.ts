// SPDX-License-Identifier: AGPL-3.0-or-later
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
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
import anyTest from "ava";
import { StorPoolSimulator } from "../../sim/storpool/index.js";
import { eventually } from "../eventually.js";
import { cannotLoop, loopsOver, machine, read, sizeOf, write } from "./machine.js";
import { mib, session } from "./storpool.js";

const reason = cannotLoop();
const test = reason === undefined ? anyTest.serial : anyTest.serial.skip;
const title = (text: string) => (reason === undefined ? text : `${text} (${reason})`);

test(title("data written at one client is read at the other after a takeover"), async (t) => {
  const { s, link } = await machine(t);
  const volume = await s.volume();
  await s.reassign({ volume: `~${volume}`, rw: [11] });
  t.is(sizeOf(link(11, volume)), mib);
  t.is(await read(link(11, volume), 4), "\0\0\0\0");
  await write(link(11, volume), "moved", mib - 5);
  await s.reassign({ volume: `~${volume}`, rw: [12], detach: "all" });
  t.false(existsSync(link(11, volume)));
  t.is(await read(link(12, volume), 5, mib - 5), "moved");
  t.deepEqual(s.sim.check(), []);
});

test(title("devices have sectors of 512 bytes, also those of an odd size that share data"), async (t) => {
  const { s, link } = await machine(t);
  const size = mib + 512;
  const volume = await s.volume({ size });
  await s.reassign({ volume: `~${volume}`, rw: [11] });
  await write(link(11, volume), "end", size - 3);
  const snapshot = await s.snapshot(volume);
  await s.reassign({ snapshot: `~${snapshot}`, ro: [11] });
  for (const gid of [volume, snapshot]) {
    t.is(execFileSync("/sbin/blockdev", ["--getss", link(11, gid)], { encoding: "utf8" }), "512\n");
    t.is(await read(link(11, gid), 3, size - 3), "end");
  }
});

test(title("a snapshot keeps the old data and cannot be written; a clone starts with it"), async (t) => {
  const { s, link } = await machine(t);
  const volume = await s.volume();
  await s.reassign({ volume: `~${volume}`, rw: [11] });
  await write(link(11, volume), "old");
  const snapshot = await s.snapshot(volume);
  await write(link(11, volume), "new");
  const clone = await s.copy({ parent: `~${snapshot}`, size: 2 * mib });
  await s.reassign({ snapshot: `~${snapshot}`, ro: [11] });
  await s.reassign({ volume: `~${clone}`, rw: [11] });
  t.is(await read(link(11, snapshot), 3), "old");
  await t.throwsAsync(write(link(11, snapshot), "bad"));
  t.is(await read(link(11, clone), 3), "old");
  await write(link(11, clone), "own");
  t.is(await read(link(11, snapshot), 3), "old");
  t.is(await read(link(11, volume), 3), "new");
  t.is(sizeOf(link(11, clone)), 2 * mib);
  const copy = await s.copy({ baseOn: `~${volume}` });
  await s.reassign({ volume: `~${copy}`, ro: [12] });
  t.is(await read(link(12, copy), 3), "new");
  await t.throwsAsync(write(link(12, copy), "bad"));
  t.deepEqual(s.sim.check(), []);
});

test(title("a revert brings back data and size; a frozen volume keeps its data"), async (t) => {
  const { s, link } = await machine(t);
  const volume = await s.volume();
  await s.reassign({ volume: `~${volume}`, rw: [11] });
  await write(link(11, volume), "old");
  const snapshot = await s.snapshot(volume);
  await write(link(11, volume), "new");
  await s.post(`VolumeUpdate/~${volume}`, { size: 2 * mib });
  await s.reassign({ volume: `~${volume}`, detach: "all" });
  await s.post(`VolumeRevert/~${volume}`, { toSnapshot: `~${snapshot}`, revertSize: true });
  await s.post(`VolumeFreeze/~${volume}`);
  await s.reassign({ snapshot: `~${volume}`, ro: [12] });
  t.is(await read(link(12, volume), 3), "old");
  t.is(sizeOf(link(12, volume)), mib);
  t.deepEqual(s.sim.check(), []);
});

test(title("a device grows with the client's configuration, not before"), async (t) => {
  const { s, link } = await machine(t, { behaviour: { syncDelayMs: 60_000 } });
  const volume = await s.volume();
  await s.reassign({ volume: `~${volume}`, rw: [11] });
  await s.post(`VolumeUpdate/~${volume}`, { size: 3 * mib });
  t.is(sizeOf(link(11, volume)), mib);
  await s.get("ClientConfigWait/11");
  t.is(sizeOf(link(11, volume)), 3 * mib);
  await write(link(11, volume), "end", 3 * mib - 3);
  t.deepEqual(s.sim.check(), []);
});

test(title("a device that another process has open is refused until it is closed"), async (t) => {
  const { s, link } = await machine(t);
  const volume = await s.volume();
  await s.reassign({ volume: `~${volume}`, rw: [11] });
  const holder = spawn("/bin/sh", ["-c", 'exec 3<"$1"; echo open; read -r _', "sh", link(11, volume)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  t.teardown(() => holder.kill("SIGKILL"));
  await once(holder.stdout, "data");
  await t.throwsAsync(s.reassign({ volume: `~${volume}`, detach: "all" }), {
    message: /^busy: .* is open at /,
  });
  t.true(existsSync(link(11, volume)));
  holder.stdin.end("\n");
  await once(holder, "exit");
  await s.reassign({ volume: `~${volume}`, detach: "all" });
  t.false(existsSync(link(11, volume)));
});

test(title("a mounted device is open too, although no process has it"), async (t) => {
  const { s, data, link } = await machine(t);
  const volume = await s.volume({ size: 8 * mib });
  await s.reassign({ volume: `~${volume}`, rw: [11] });
  execFileSync("/sbin/mkfs.ext4", ["-q", link(11, volume)]);
  execFileSync("/bin/mkdir", [join(data, "mnt")]);
  execFileSync("/bin/mount", [link(11, volume), join(data, "mnt")]);
  try {
    await t.throwsAsync(s.reassign({ volume: `~${volume}`, detach: "all" }), { message: /is open at / });
  } finally {
    execFileSync("/bin/umount", [join(data, "mnt")]);
  }
  await s.reassign({ volume: `~${volume}`, detach: "all" });
  t.deepEqual(s.sim.check(), []);
});

test(title("force takes an open device; its loop device goes with the last descriptor"), async (t) => {
  const { s, data, link } = await machine(t);
  const volume = await s.volume();
  await s.reassign({ volume: `~${volume}`, rw: [11] });
  const held = await open(link(11, volume), "r");
  t.teardown(() => held.close().catch(() => undefined));
  await s.reassign({ volume: `~${volume}`, rw: [12], detach: "all", force: true });
  t.false(existsSync(link(11, volume)));
  await held.close();
  await s.reassign({ volume: `~${volume}`, detach: "all" });
  t.true(await eventually(() => loopsOver(data) === ""));
  t.deepEqual(s.sim.check(), []);
});

test(title("late links come and go on the file system"), async (t) => {
  const { s, link } = await machine(t, { behaviour: { linkDelayMs: 1_000, unlinkDelayMs: 1_000 } });
  const volume = await s.volume();
  await s.reassign({ volume: `~${volume}`, rw: [11] });
  t.false(existsSync(link(11, volume)));
  t.true(await eventually(() => existsSync(link(11, volume))));
  t.deepEqual(s.sim.check(), []);
  await s.reassign({ volume: `~${volume}`, detach: "all" });
  t.true(existsSync(link(11, volume)));
  t.true(await eventually(() => !existsSync(link(11, volume))));
  await s.reassign({ volume: `~${volume}`, rw: [11] });
  await s.reassign({ volume: `~${volume}`, detach: "all" });
  await s.post(`VolumeDelete/~${volume}`);
  t.false(existsSync(link(11, volume)), "a deletion does not wait for the delay");
});

test(title("a client that is down keeps its devices until it is back"), async (t) => {
  const { s, link } = await machine(t);
  const volume = await s.volume();
  await s.reassign({ volume: `~${volume}`, rw: [11] });
  await s.sim.setClient(11, "down");
  await s.reassign({ volume: `~${volume}`, rw: [12], detach: "all", force: true }, 0);
  t.true(existsSync(link(11, volume)));
  t.true(existsSync(link(12, volume)));
  await s.sim.setClient(11, "running");
  t.false(existsSync(link(11, volume)));
  t.deepEqual(s.sim.check(), []);
});

test(title("close takes everything down, also what is attached, on its way or open"), async (t) => {
  const { s, data, link } = await machine(t, { behaviour: { unlinkDelayMs: 60_000 } });
  const [first, second] = [await s.volume(), await s.volume()];
  for (const id of [first, second]) await s.reassign({ volume: `~${id}`, rw: [11, 12] });
  await s.reassign({ volume: `~${second}`, detach: "all" });
  const device = readlinkSync(link(11, first));
  const held = await open(device, "r");
  await s.sim.close();
  await held.close();
  t.true(await eventually(() => loopsOver(data) === ""));
  t.false(existsSync(link(11, first)));
  t.deepEqual(readdirSync(data), []);
});

test(
  title("what a killed simulator left is removed by the next one, and a living one is left alone"),
  async (t) => {
    const top = mkdtempSync(join(tmpdir(), "blockio-storpool-"));
    const [data, devices] = [join(top, "data"), join(top, "dev")];
    t.teardown(() => rmSync(top, { recursive: true, force: true }));
    const child = spawn(
      process.execPath,
      ["build/src/cli/main.js", "sim", "storpool", "--data", data, "--devices", devices, "--client", "11"],
      { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, SP_AUTH_TOKEN: "tok" } },
    );
    t.teardown(() => child.kill("SIGKILL"));
    const [line] = (await once(child.stdout, "data")) as [Buffer];
    const post = (path: string, body: unknown) =>
      fetch(`${line.toString().trim()}/ctrl/1.0/${path}`, {
        method: "POST",
        headers: { authorization: "Storpool v1:tok" },
        body: JSON.stringify(body),
      });
    await post("VolumeCreate", { template: "nvme", size: mib, name: "left" });
    await post("VolumesReassignWait", { reassign: [{ volume: "left", rw: [11] }] });
    t.not(loopsOver(data), "");
    await t.throwsAsync(session(t, { data, devices, clients: [11] }), {
      message: /belongs to the simulator/,
    });
    t.not(loopsOver(data), "");
    child.kill("SIGKILL");
    await once(child, "exit");
    await session(t, { data, devices, clients: [11] });
    t.true(await eventually(() => loopsOver(data) === ""));
    t.deepEqual(readdirSync(join(devices, "11", "storpool-byid")), []);
    t.deepEqual(readdirSync(data), ["storpool-sim.pid"]);
  },
);

anyTest("as anybody: files hold the data, and the check compares them", async (t) => {
  const data = mkdtempSync(join(tmpdir(), "blockio-storpool-"));
  t.teardown(() => rmSync(data, { recursive: true, force: true }));
  const s = await session(t, { data });
  const volume = await s.volume();
  const file = join(data, readdirSync(data).find((name) => name.endsWith(".raw")) ?? "");
  writeFileSync(file, "old", { flag: "r+" });
  const snapshot = await s.snapshot(volume);
  writeFileSync(file, "new", { flag: "r+" });
  await s.post(`VolumeRevert/~${volume}`, { toSnapshot: `~${snapshot}` });
  t.is(readFileSync(file).subarray(0, 3).toString(), "old");
  t.deepEqual(s.sim.check(), []);
  writeFileSync(file, "short");
  t.deepEqual(s.sim.check(), [`${volume}: ${mib} bytes, but its file has 5`]);
  rmSync(file);
  t.deepEqual(s.sim.check(), [`${volume}: its file is missing`]);
});

anyTest("as anybody: a start that fails leaves the directory as it was", async (t) => {
  const data = mkdtempSync(join(tmpdir(), "blockio-storpool-"));
  t.teardown(() => rmSync(data, { recursive: true, force: true }));
  const first = await session(t);
  const foreign = { loc: "cl1", storage: "sp" };
  const second = StorPoolSimulator.start({ data, foreign, port: first.sim.port });
  await t.throwsAsync(second, { code: "EADDRINUSE" });
  t.deepEqual(readdirSync(data), []);
  await t.throwsAsync(StorPoolSimulator.start({ devices: data }), { message: /need a data directory/ });
});
