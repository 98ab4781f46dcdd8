// SPDX-License-Identifier: AGPL-3.0-or-later
import test from "ava";
import { scsiIdOf } from "../../../sim/joviandss/shapes.js";
import { codeOf } from "../../../src/common/errors.js";
import { clusterFile, initiatorOf, iqnOf, mib, Nodes, refOf } from "./nodes.js";

test("volumes of a guest share its targets, as many on each as the section says", async (t) => {
  const n = await Nodes.start(t, { section: { luns_per_target: 2 } });
  for (let disk = 0; disk < 5; disk++) {
    const ref = await n.disk(`vm-100-disk-${disk}`);
    await n.at("a").attach(n.ctx, ref, undefined);
  }
  await n.at("a").attach(n.ctx, await n.disk("vm-101-disk-0"), undefined);
  t.deepEqual(n.targets(), {
    [iqnOf(100, 0)]: ["0:v_vm-100-disk-0", "1:v_vm-100-disk-1"],
    [iqnOf(100, 1)]: ["0:v_vm-100-disk-2", "1:v_vm-100-disk-3"],
    [iqnOf(100, 2)]: ["0:v_vm-100-disk-4"],
    [iqnOf(101, 0)]: ["0:v_vm-101-disk-0"],
  });
});

test("a freed number is used again, and the last volume takes its target along", async (t) => {
  const n = await Nodes.start(t);
  const a = n.at("a");
  const disks = [await n.disk("vm-100-disk-0"), await n.disk("vm-100-disk-1")];
  for (const ref of disks) await a.attach(n.ctx, ref, undefined);
  const [first, second] = disks;
  if (!first || !second) return t.fail();
  await a.detachWhole(n.ctx, first);
  t.true(await a.driver.deleteVolume(n.ctx, first));
  t.deepEqual(n.targets(), { [iqnOf(100)]: ["1:v_vm-100-disk-1"] });
  await a.attach(n.ctx, await n.disk("vm-100-disk-2"), undefined);
  t.deepEqual(n.targets()[iqnOf(100)], ["1:v_vm-100-disk-1", "0:v_vm-100-disk-2"]);
  for (const ref of [second, refOf("vm-100-disk-2")]) {
    await a.detachWhole(n.ctx, ref);
    t.true(await a.driver.deleteVolume(n.ctx, ref));
  }
  t.deepEqual([n.targets(), n.volumes()], [{}, []]);
  t.deepEqual(n.sim.check({ volumes: [] }), []);
});

test("the connection has portal, identity and size as the array says", async (t) => {
  const n = await Nodes.start(t, { section: { data_port: 3261, multipath: 1 } });
  const ref = await n.disk("vm-100-disk-0", 3n * mib);
  const volume = n.sim.pool().volumes.get("v_vm-100-disk-0");
  if (!volume) return t.fail();
  t.deepEqual(await n.at("a").driver.publish(n.ctx, ref, undefined, { name: "a" }), {
    kind: "iscsi",
    portals: ["127.0.0.1:3261", "127.0.0.2:3261"],
    iqn: iqnOf(100),
    lun: 0,
    wwid: `2${Buffer.from(scsiIdOf(volume).slice(0, 8)).toString("hex")}`,
    size: 3n * mib,
    multipath: true,
  });
});

test("targets answer at the data addresses only, and follow them when they change", async (t) => {
  const n = await Nodes.start(t, { section: { data_addresses: "127.0.0.1" } });
  const ref = await n.disk();
  await n.at("a").attach(n.ctx, ref, undefined);
  t.deepEqual(n.sim.pool().targets.get(iqnOf(100))?.portals, { enabled: true, assigned: ["vip0"] });
  const both = { data_addresses: "127.0.0.1,127.0.0.2" };
  await n.at("a", both).attach(n.ctx, ref, undefined);
  t.deepEqual(n.sim.pool().targets.get(iqnOf(100))?.portals.assigned, ["vip0", "vip1"]);
});

test("addresses that are none of the pool's are refused, some of them warned of", async (t) => {
  const n = await Nodes.start(t);
  const none = n.at("a", { data_addresses: "10.9.9.9" }).driver;
  await t.throwsAsync(none.check(n.ctx), {
    code: "refused",
    message: /Unable to identify VIP name.*10\.9\.9\.9/,
  });
  await n.at("a", { data_addresses: "10.9.9.9,127.0.0.1" }).driver.check(n.ctx);
  t.true(n.lines.some((line) => line.includes("no addresses of the pool") && line.includes("10.9.9.9")));
});

test("a volume on a target of an old prefix moves when it is idle, and stays while it is used", async (t) => {
  const n = await Nodes.start(t);
  const ref = await n.disk();
  const renamed = { target_prefix: "iqn.2026-01.new:" };
  await n.at("a").attach(n.ctx, ref, undefined);
  await n.at("b", renamed).attach(n.ctx, ref, undefined);
  t.deepEqual(Object.keys(n.targets()), [iqnOf(100)], "node a uses it");
  for (const node of ["a", "b"] as const) await n.at(node).detach(n.ctx, ref, undefined);
  await n.at("b", renamed).attach(n.ctx, ref, undefined);
  t.deepEqual(n.targets(), { "iqn.2026-01.new:vm-100-0": ["0:v_vm-100-disk-0"] });
});

test.serial(
  "two storages whose targets begin alike are refused, disabled ones are not counted",
  async (t) => {
    const n = await Nodes.start(t);
    const other = (more: string) =>
      clusterFile(
        "storage.cfg",
        `dir: local\n\tpath /x\n\njoviandss: other\n\tpool_name P\n\ttarget_prefix ${more}\n`,
      );
    t.teardown(() => clusterFile("storage.cfg", ""));
    other("iqn.2025-06.proxmox.pool-0");
    await t.throwsAsync(n.at("a").driver.check(n.ctx), {
      code: "refused",
      message: /also that of storage 'other'.*pvesm set jdss --target_prefix/,
    });
    other("iqn.2025-06.proxmox.pool-0\n\tdisable 1");
    await n.at("a").driver.check(n.ctx);
    other("iqn.2025-06.proxmox.pool-1:");
    await n.at("a").driver.check(n.ctx);
  },
);

test.serial(
  "with CHAP nobody else logs in; a new password reaches the target with the next login",
  async (t) => {
    const chap = { chap_enabled: 1, chap_user_name: "pve" };
    const n = await Nodes.start(t, { section: chap });
    const store = (password: string) =>
      clusterFile(
        "priv/storage/joviandss/jdss.pw",
        `user_password ${n.sim.password}\nchap_user_password ${password}\n`,
      );
    t.teardown(() => clusterFile("priv/storage/joviandss/jdss.pw", ""));
    store("first-password");
    const ref = await n.disk();
    await n.at("a").attach(n.ctx, ref, undefined);
    const target = () => n.sim.pool().targets.get(iqnOf(100));
    t.deepEqual([...(target()?.users ?? [])], [["pve", "first-password"]]);
    t.true(target()?.incomingUsersActive);
    t.throws(
      () => n.sim.login({ iqn: iqnOf(100), initiator: "iqn.x:y", ip: "127.0.0.8", portal: "127.0.0.1" }),
      { message: /authorization/ },
    );
    await n.at("a").detach(n.ctx, ref, undefined);
    store("second-password");
    await n.at("a").attach(n.ctx, ref, undefined);
    t.deepEqual([...(target()?.users ?? [])], [["pve", "second-password"]]);
    await n.at("a").detach(n.ctx, ref, undefined);
    await n.at("a", { chap_enabled: 0 }).attach(n.ctx, ref, undefined);
    t.deepEqual([target()?.users.size, target()?.incomingUsersActive], [0, false]);
    t.notRegex(n.lines.join(""), /first-password|second-password/);
    t.notRegex(JSON.stringify(n.sim.journal.entries), /first-password|second-password/);
  },
);

test("nothing is taken from under another initiator", async (t) => {
  const n = await Nodes.start(t);
  const ref = await n.disk();
  const { driver } = n.at("a");
  await driver.createSnapshot(n.ctx, ref, "s1");
  await n.at("b").attach(n.ctx, ref, undefined);
  const busy = { code: "busy", message: new RegExp(initiatorOf("b")) };
  await t.throwsAsync(driver.deleteVolume(n.ctx, ref), busy);
  await t.throwsAsync(driver.rollback(n.ctx, ref, "s1"), busy);
  await driver.deleteSnapshot(n.ctx, ref, "s1");
  await t.throwsAsync(driver.renameVolume(n.ctx, ref, refOf("vm-101-disk-0")), busy);
  await t.throwsAsync(driver.makeBase(n.ctx, ref, refOf("base-100-disk-0")), busy);
  t.deepEqual(n.targets(), { [iqnOf(100)]: ["0:v_vm-100-disk-0"] });
  // Who cannot say who is there takes nothing either.
  await n.at("b").detach(n.ctx, ref, undefined);
  n.sim.inject({ kind: "os", on: "sessionList" });
  await t.throwsAsync(driver.deleteVolume(n.ctx, ref), { code: "refused" });
  t.deepEqual(n.volumes(), ["v_vm-100-disk-0"]);
  t.true(await driver.deleteVolume(n.ctx, ref));
});

test("a snapshot that two nodes read goes with the last of them", async (t) => {
  const n = await Nodes.start(t);
  const ref = await n.disk();
  await n.at("a").driver.createSnapshot(n.ctx, ref, "s1");
  // The guest runs on b: its own sessions are no readers of the snapshot.
  await n.at("b").attach(n.ctx, ref, undefined);
  for (const node of ["a", "b"] as const) await n.at(node).attach(n.ctx, ref, "s1");
  t.deepEqual(n.targets()[iqnOf(100, 1)], ["0:se_s1_OZWS2MJQGAWWI2LTNMWTA---"]);
  await n.at("a").detach(n.ctx, ref, "s1");
  t.is(n.volumes().length, 2, "b reads it");
  await t.throwsAsync(n.at("a").driver.deleteSnapshot(n.ctx, ref, "s1"), { code: "busy" });
  await n.at("b").detach(n.ctx, ref, "s1");
  t.deepEqual(n.volumes(), ["v_vm-100-disk-0"]);
  t.deepEqual(n.targets(), { [iqnOf(100)]: ["0:v_vm-100-disk-0"] });
  t.deepEqual(n.sim.check({ volumes: ["v_vm-100-disk-0"] }), []);
});

test("two nodes that give a snapshot up at once leave nothing", async (t) => {
  const n = await Nodes.start(t);
  const ref = await n.disk();
  await n.at("a").driver.createSnapshot(n.ctx, ref, "s1");
  const nodes = ["a", "b"] as const;
  for (let round = 0; round < 5; round++) {
    for (const node of nodes) await n.at(node).attach(n.ctx, ref, "s1");
    await Promise.all(nodes.map((node) => n.at(node).detach(n.ctx, ref, "s1")));
    t.deepEqual([n.volumes(), n.targets()], [["v_vm-100-disk-0"], {}]);
  }
});

test("what the array does not say the target of is neither rolled back nor taken away", async (t) => {
  const n = await Nodes.start(t);
  const ref = await n.disk();
  const { driver } = n.at("a");
  await driver.createSnapshot(n.ctx, ref, "s1");
  await n.at("b").attach(n.ctx, ref, undefined);
  n.sim.configure({ lunWithoutTarget: true });
  const unknown = { code: "unreachable", message: /does not name the target/ };
  await t.throwsAsync(driver.rollback(n.ctx, ref, "s1"), unknown);
  await t.throwsAsync(driver.deleteVolume(n.ctx, ref), unknown);
  t.is(n.sim.journal.of("rollback").length, 0);
});

test("guests of one number in two clusters have targets of their own", async (t) => {
  const n = await Nodes.start(t);
  const ref = await n.disk();
  await n.at("a").attach(n.ctx, ref, undefined);
  const other = n.at("b", { cluster_prefix: "east" }, "east");
  await other.driver.createVolume(n.ctx, ref, mib);
  await other.attach(n.ctx, ref, undefined);
  const luns = Object.values(n.targets());
  t.deepEqual(
    luns.map((all) => all.length),
    [1, 1],
  );
  t.deepEqual(n.targets()[iqnOf(100)], ["0:v_vm-100-disk-0"]);
});

test("a live migration keeps the volume on both nodes, and on the right one afterwards", async (t) => {
  const n = await Nodes.start(t);
  const ref = await n.disk();
  await n.at("a").attach(n.ctx, ref, undefined);
  await n.at("b").attach(n.ctx, ref, undefined);
  t.is(n.sim.pool().targets.get(iqnOf(100))?.sessions.length, 4 - 2, "one portal each without multipath");
  await n.at("a").detach(n.ctx, ref, undefined);
  t.deepEqual(n.initiators.a.state, { sessions: [], disks: [] });
  t.is(n.initiators.b.state.disks.length, 1);
  t.deepEqual(n.targets(), { [iqnOf(100)]: ["0:v_vm-100-disk-0"] });
});

test("a guest of a node that died starts on another; its disks go when the array has dropped the dead one", async (t) => {
  const n = await Nodes.start(t);
  const ref = await n.disk();
  await n.at("a").attach(n.ctx, ref, undefined);
  await n.initiators.a.die();
  await n.at("b").attach(n.ctx, ref, undefined);
  await n.at("b").detach(n.ctx, ref, undefined);
  const free = () => n.at("b").driver.deleteVolume(n.ctx, ref);
  await t.throwsAsync(free(), { code: "busy", message: /wait until the array drops/ });
  const target = n.sim.pool().targets.get(iqnOf(100));
  for (const session of [...(target?.sessions ?? [])]) n.sim.logout(session);
  t.true(await free());
});

test("16 guests are activated, snapshotted and deactivated in parallel from two nodes, and no target is lost", async (t) => {
  const n = await Nodes.start(t, {
    simulator: { behaviour: { targetEditMs: 2 } },
    pace: { limits: { pausesMs: Array<number>(30).fill(10) } },
  });
  const guests = Array.from({ length: 16 }, (_, index) => refOf(`vm-${100 + index}-disk-0`));
  await Promise.all(
    guests.map(async (ref, index) => {
      const node = index % 2 === 0 ? "a" : "b";
      const storage = n.at(node);
      await storage.driver.createVolume(n.ctx, ref, mib);
      await storage.attach(n.ctx, ref, undefined);
      await storage.driver.createSnapshot(n.ctx, ref, "s1");
      await storage.attach(n.ctx, ref, "s1");
      await storage.detach(n.ctx, ref, "s1");
      await storage.detach(n.ctx, ref, undefined);
    }),
  );
  t.is(Object.keys(n.targets()).length, 16);
  for (const { vmid, name } of guests) t.deepEqual(n.targets()[iqnOf(vmid)], [`0:v_${name}`]);
  t.deepEqual(n.sim.check({ volumes: guests.map(({ name }) => `v_${name}`) }), []);
  await Promise.all(guests.map((ref, index) => n.at(index % 2 ? "a" : "b").driver.deleteVolume(n.ctx, ref)));
  t.deepEqual([n.targets(), n.volumes()], [{}, []]);
});

test("both nodes activate one new volume at once, on one target", async (t) => {
  const n = await Nodes.start(t);
  for (let round = 0; round < 5; round++) {
    const ref = await n.disk(`vm-${100 + round}-disk-0`);
    await Promise.all((["a", "b"] as const).map((node) => n.at(node).attach(n.ctx, ref, undefined)));
    t.is(n.initiators.b.state.disks.length, round + 1);
  }
  t.deepEqual(n.sim.check(), []);
});

test("a LUN without capacity is not handed to a guest", async (t) => {
  const n = await Nodes.start(t);
  const ref = await n.disk();
  n.sim.inject({ kind: "empty-lun", on: "lunAttach" });
  await t.throwsAsync(n.at("a").attach(n.ctx, ref, undefined), {
    message: /activate 'vm-100-disk-0'.*bytes/,
  });
});

test("a target that exists in two pools is refused", async (t) => {
  const n = await Nodes.start(t, { simulator: { pools: ["Pool-0", "Pool-1"] } });
  const other = n.at("a", { pool_name: "Pool-1" }, "other");
  const ref = await n.disk();
  await other.driver.createVolume(n.ctx, ref, mib);
  await n.at("a").attach(n.ctx, ref, undefined);
  await t.throwsAsync(other.driver.publish(n.ctx, ref, undefined, { name: "a" }), {
    code: "refused",
    message: /two pools/,
  });
});

test.serial(
  "an array that drops all packets: the state of the storage is answered within five seconds, and heals",
  async (t) => {
    const n = await Nodes.start(t, {
      pace: { limits: { probeMs: 3_400, probeSilenceMs: 1_000, connectMs: 3_000 } },
    });
    for (const address of n.sim.addresses) await n.sim.setAddress(address, "mute");
    for (const ask of ["capacity", "check"] as const) {
      const started = performance.now();
      const error = await n
        .at("a")
        .driver[ask](n.ctx)
        .then(
          () => undefined,
          (reason: unknown) => reason,
        );
      t.is(codeOf(error), "unreachable");
      t.true(performance.now() - started < 5_000, ask);
    }
    for (const address of n.sim.addresses) await n.sim.setAddress(address, "open");
    t.true((await n.at("a").driver.capacity(n.ctx)).total > 0n);
  },
);
