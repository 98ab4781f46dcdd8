// SPDX-License-Identifier: AGPL-3.0-or-later
import test from "ava";
import { codeOf, session, severityOf } from "./linstor.js";

test("a volume lives: spawn, view, resize, snapshot, restore, rollback, delete", async (t) => {
  const s = await session(t);
  const made = await s.do("POST", "resource-groups/rg1/spawn", {
    resource_definition_name: "vm-100-disk-1",
    volume_sizes: [8192],
    resource_definition_props: { "Aux/x": "1" },
  });
  t.is(made[0]?.ret_code, 20447233n);
  t.is(made[1]?.ret_code, 19922945n);
  t.deepEqual(await s.placed("vm-100-disk-1"), { pve1: "disk", pve2: "disk", pve3: "tie-breaker" });
  const volume = await s.volume("vm-100-disk-1", "pve1");
  t.true(Number(volume["usable_size_kib"]) >= 8192);
  await s.do("POST", "resource-definitions/vm-100-disk-1/resources/pve3/make-available", {});
  t.deepEqual(await s.placed("vm-100-disk-1"), { pve1: "disk", pve2: "disk", pve3: "diskless" });
  await s.do("PUT", "resource-definitions/vm-100-disk-1/volume-definitions/0", { size_kib: 16384 });
  const taken = await s.do("POST", "resource-definitions/vm-100-disk-1/snapshots", { name: "snap1" });
  t.is(taken[0]?.ret_code, 17563649n);
  await s.do("POST", "resource-definitions", {
    resource_definition: { name: "clone1", resource_group_name: "rg1" },
  });
  const from = "resource-definitions/vm-100-disk-1";
  await s.do("POST", `${from}/snapshot-restore-volume-definition/snap1`, { to_resource: "clone1" });
  await s.do("POST", `${from}/snapshot-restore-resource/snap1`, { to_resource: "clone1", nodes: ["pve1"] });
  t.deepEqual(await s.placed("clone1"), { pve1: "disk" });
  t.is(((await s.definition("clone1"))["props"] as Record<string, string>)["Aux/x"], "1");
  await s.do("POST", `${from}/snapshot-rollback/snap1`);
  t.deepEqual(await s.placed("vm-100-disk-1"), { pve1: "disk", pve2: "disk", pve3: "diskless" });
  const refused = await s.say("DELETE", from);
  t.deepEqual([refused.status, refused.entries.map(codeOf)], [500, [514]]);
  await s.do("DELETE", `${from}/snapshots/snap1`);
  await s.do("DELETE", from);
  const again = await s.say("DELETE", from);
  t.deepEqual([again.status, again.entries.map(severityOf)], [200, ["warning"]]);
  t.is(again.entries[0]?.ret_code, -9223372036800771144n);
  t.deepEqual(s.sim.check(), []);
});
