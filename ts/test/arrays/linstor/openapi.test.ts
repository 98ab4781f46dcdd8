// SPDX-License-Identifier: AGPL-3.0-or-later
import test from "ava";
import { OpenApi } from "../../sim/openapi.js";
import { clusterFile, guestOn, mib, Nodes, refOf } from "./nodes.js";

const published = OpenApi.fromEnvironment();
const maybe = published ? test : test.skip;
const reason = published ? "" : " [not run: LINSTOR_OPENAPI does not name the description]";

maybe(`all that the driver asks for is as LINSTOR describes it${reason}`, async (t) => {
  const wrong: string[] = [];
  const asked = new Set<string>();
  const n = await Nodes.start(t, {
    simulator: {
      pools: [{ name: "ssd", nodes: ["pve1", "pve2"] }],
      watch: (exchange) => {
        if (!exchange.url.startsWith("/v1/")) return;
        asked.add(
          `${exchange.verb} ${exchange.url.split("?")[0]?.replaceAll(/(vm|base|pve|snap)[^/]*/g, "*")}`,
        );
        wrong.push(...(published?.request(exchange) ?? []));
      },
    },
  });
  const [one, two] = [n.at("pve1"), n.at("pve3")];
  const { driver } = one;
  await driver.check(n.ctx);
  await driver.capabilities(n.ctx);
  await driver.capacity(n.ctx);
  await driver.identity(n.ctx);
  const disk = await n.disk("vm-700-disk-0");
  const second = await n.disk("vm-700-disk-1");
  await n.disk(`vm-700-state-${"S".repeat(40)}`);
  await one.attach(n.ctx, disk, undefined);
  n.sim.setOpen("pve1", disk.name, "write");
  guestOn("pve1", 700, "lock: migrate\n");
  await two.attach(n.ctx, disk, undefined);
  n.sim.setOpen("pve1", disk.name, "closed");
  guestOn("pve1", 700);
  await two.detach(n.ctx, disk, undefined);
  await one.detach(n.ctx, disk, undefined);
  await driver.resizeVolume(n.ctx, disk, 32n * mib);
  await driver.createSnapshot(n.ctx, disk, "s1");
  await driver.createSnapshot(n.ctx, disk, "x".repeat(40));
  const lines = [disk, second].map(({ volname }, index) => `scsi${index}: linstor:${volname}`).join("\n");
  clusterFile(
    "nodes/pve1/qemu-server/700.conf",
    `lock: snapshot\n${lines}\n\n[s2]\nsnapstate: prepare\nsnaptime: 1700000000\n${lines}\n`,
  );
  for (const ref of [disk, second]) await driver.createSnapshot(n.ctx, ref, "s2");
  await two.attach(n.ctx, disk, "s1");
  await two.detach(n.ctx, disk, "s1");
  await driver.rollback(n.ctx, disk, "s1");
  const copy = await driver.cloneVolume(n.ctx, disk, "s1", refOf("vm-701-disk-0"));
  const given = await driver.renameVolume(n.ctx, copy, refOf("vm-702-disk-0"));
  const base = await driver.makeBase(n.ctx, given, refOf("base-702-disk-0"));
  await driver.cloneVolume(n.ctx, base, undefined, refOf("vm-703-disk-0"));
  await driver.listSnapshots(n.ctx, disk);
  for (let left = await driver.listVolumes(n.ctx); left.length > 0; left = await driver.listVolumes(n.ctx))
    for (const { ref } of left) await driver.deleteVolume(n.ctx, ref).catch(() => undefined);
  t.deepEqual(wrong, []);
  t.deepEqual(n.definitions(), []);
  t.true(asked.size > 20, [...asked].sort().join("\n"));
});
