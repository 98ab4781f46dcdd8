// SPDX-License-Identifier: AGPL-3.0-or-later
import anyTest, { type ExecutionContext } from "ava";
import { cannotLoop } from "../../sim/machine.js";
import { type Disk, Services } from "./services.js";

// The rules one by one are in two-nodes.test.ts; here they hold for data on devices.
const reason = cannotLoop();
const test = reason === undefined ? anyTest.serial : anyTest.serial.skip;
const title = (text: string) => (reason === undefined ? text : `${text} (${reason})`);

/** A guest that runs on node-a and has written something. */
async function running(t: ExecutionContext): Promise<{ s: Services; disk: string; a: Disk }> {
  const s = await Services.start(t);
  const disk = await s.disk();
  s.guest({ node: "node-a" });
  await s.activate("node-a", disk);
  const a = await s.open("node-a", disk);
  await a.write("written on a");
  return { s, disk, a };
}

/** In the middle of a live migration: both nodes have the disk, both QEMUs have it open. */
async function migrating(t: ExecutionContext): Promise<{ s: Services; disk: string; a: Disk; b: Disk }> {
  const { s, disk, a } = await running(t);
  s.guest({ node: "node-a", lock: "migrate" });
  await s.activate("node-b", disk);
  t.deepEqual(s.there(disk), ["node-a", "node-b"]);
  return { s, disk, a, b: await s.open("node-b", disk) };
}

test(title("a live migration takes the disk along, with what was written last"), async (t) => {
  const { s, disk, a, b } = await migrating(t);
  await a.write("written last");
  await a.close();
  s.guest({ node: "node-b" });
  await s.deactivate("node-a", disk);
  t.deepEqual(s.there(disk), ["node-b"]);
  t.is(await b.read(12), "written last");
  await b.write("goes on at b");
  await b.close();
  await s.deactivate("node-b", disk);
  t.deepEqual(s.there(disk), []);
  t.deepEqual(s.sim.check(), []);
});

test(
  title("a migration that fails on the target leaves the source its disk, open all the time"),
  async (t) => {
    const { s, disk, a, b } = await migrating(t);
    await b.close();
    await s.deactivate("node-b", disk);
    s.guest({ node: "node-a" });
    t.deepEqual(s.there(disk), ["node-a"]);
    await a.write("still here..");
    await s.activate("node-a", disk);
    t.is(await a.read(12), "still here..");
    await a.close();
  },
);

test(title("a migration that fails on the source after the switch leaves the target its disk"), async (t) => {
  const { s, disk, a, b } = await migrating(t);
  s.guest({ node: "node-b" });
  await a.close();
  await s.deactivate("node-a", disk);
  await t.throwsAsync(s.activate("node-a", disk), { message: /belongs to node 'node-b'/ });
  t.deepEqual(s.there(disk), ["node-b"]);
  await b.write("b owns this.");
  t.is(await b.read(12), "b owns this.");
  await b.close();
});

test(title("the HA manager's node takes the disk of a dead one, at once and with its data"), async (t) => {
  const { s, disk, a } = await running(t);
  await s.sim.setClient(11, "down");
  s.guest({ node: "node-b", ha: { state: "started", node: "node-b" } });
  const started = performance.now();
  await s.activate("node-b", disk);
  t.true(performance.now() - started < 10_000, "waited for the dead node");
  const b = await s.open("node-b", disk);
  t.is(await b.read(12), "written on a");
  await b.close();
  await a.close();
  await s.sim.setClient(11, "running");
  t.deepEqual(s.there(disk), ["node-b"], "the old node has lost it when it comes back");
  t.deepEqual(s.sim.check(), []);
});

test(title("a disk is not taken from a node that is alive while the guest is locked"), async (t) => {
  const { s, disk, a } = await running(t);
  s.guest({ node: "node-b", lock: "backup", ha: { state: "started", node: "node-b" } });
  await t.throwsAsync(s.activate("node-b", disk), { message: /locked \(backup\)/ });
  t.deepEqual(s.there(disk), ["node-a"]);
  await a.write("untouched...");
  t.is(await a.read(12), "untouched...");
  await a.close();
});
