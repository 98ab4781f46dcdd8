// SPDX-License-Identifier: AGPL-3.0-or-later
// Needs a build (`make build`). Prints requests and milliseconds of each verb.
import { Nodes, refOf } from "../../build/test/arrays/joviandss/nodes.js";

const replyMs = 20;
const mib = 1n << 20n;
const teardowns = [];
const n = await Nodes.start(
  { teardown: (body) => teardowns.push(body) },
  { simulator: { behaviour: { replyMs } } },
);
const a = n.at("a");
const { ctx } = n;
const rows = [];

async function measure(what, vendor, body) {
  n.sim.journal.clear();
  const started = performance.now();
  const result = await body();
  const ms = Math.round(performance.now() - started);
  rows.push({ verb: what, requests: n.sim.journal.entries.length, ms, vendor });
  return result;
}

const disks = [0, 1, 2].map((index) => refOf(`vm-100-disk-${index}`));
await measure("alloc", "", () => a.driver.createVolume(ctx, disks[0], mib));
await measure("cold activation", "3.5-4.9", () => a.attach(ctx, disks[0], undefined));
await measure("deactivation", "1", () => a.detach(ctx, disks[0], undefined));
await measure("warm activation", "1.1-2.5", () => a.attach(ctx, disks[0], undefined));
await measure("snapshot", "2.9", () => a.driver.createSnapshot(ctx, disks[0], "s1"));
await measure("export of the snapshot", "", () => a.attach(ctx, disks[0], "s1"));
await measure("end of that", "", () => a.detach(ctx, disks[0], "s1"));
await measure("online resize", "7-9", async () => {
  await a.driver.resizeVolume(ctx, disks[0], 2n * mib);
  await a.refresh(ctx, disks[0], 2n * mib);
});
await a.driver.deleteSnapshot(ctx, disks[0], "s1");
await a.detach(ctx, disks[0], undefined);
for (const disk of disks.slice(1)) await a.driver.createVolume(ctx, disk, mib);
await measure("template of 3 disks", "42", async () => {
  for (const disk of disks) {
    await a.detach(ctx, disk, undefined);
    await a.driver.makeBase(ctx, disk, refOf(disk.name.replace("vm-", "base-")));
  }
});
const base = refOf("base-100-disk-0");
const clone = refOf("vm-101-disk-0");
await measure("linked clone", "", () => a.driver.cloneVolume(ctx, base, undefined, clone));
await measure("free", "2", () => a.driver.deleteVolume(ctx, clone));
await measure("status", "3-5 (four storages)", () => a.driver.capacity(ctx));
process.stdout.write(`${replyMs} ms per request\n`);
for (const { verb, requests, ms, vendor } of rows)
  process.stdout.write(
    `${verb.padEnd(24)} ${String(requests).padStart(3)} requests ${String(ms).padStart(5)} ms${vendor ? `   vendor ${vendor} s` : ""}\n`,
  );
for (const body of teardowns) await body();
