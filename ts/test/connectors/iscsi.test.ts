// SPDX-License-Identifier: AGPL-3.0-or-later
import { existsSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import test from "ava";
import type { Connection } from "../../src/arrays/contract.js";
import { IscsiConnector } from "../../src/connectors/iscsi.js";
import { FakeNode } from "./fake-node.js";

const iqn = "iqn.2020-01.org.example:vm-100-0";
const wwid = "23935353435363335";
const portals = ["10.0.0.1:3260", "10.0.0.2"];
const chap = { user: "node", password: "geheim geheim" };

function connection(change: Partial<Extract<Connection, { kind: "iscsi" }>> = {}) {
  return { kind: "iscsi", iqn, portals, lun: 0, wwid, ...change } as const;
}

function setUp(t: Parameters<typeof FakeNode.create>[0]) {
  const node = FakeNode.create(t);
  node.export(iqn, 0, wwid);
  const link = (name = "vm-100-disk-0") => join(node.root, "run/dev/store", name);
  return { node, link, connector: new IscsiConnector(node, node.root) };
}

test("a volume is one map over all portals, and afterwards nothing of it is left", async (t) => {
  const { node, link, connector } = setUp(t);
  t.is(await connector.connect(node.context(), connection(), link()), link());
  t.is(readlinkSync(link()), `/dev/mapper/${wwid}`);
  t.deepEqual(node.maps.get(wwid)?.paths.length, 2);
  t.deepEqual(node.changes, ["scan 0:0:0:0", "scan 1:0:0:0"]);
  await connector.connect(node.context(), connection(), link());
  t.is(node.calls().filter((call) => call.includes("--login")).length, 2, "connected is connected");
  node.changes.length = 0;
  await connector.disconnect(node.context(), connection(), link());
  t.deepEqual(node.changes, [`remove map ${wwid}`, "delete 0:0:0:0", "delete 1:0:0:0"]);
  t.deepEqual(
    [node.devices.length, node.maps.size, node.hasRecords(iqn), existsSync(link())],
    [0, 0, false, false],
  );
  t.deepEqual(await node.iscsiSessions("", iqn), []);
  await connector.disconnect(node.context(), connection(), link());
});

test("sessions start nothing by themselves; the CHAP password is in a record that only root reads", async (t) => {
  const { node, link, connector } = setUp(t);
  await connector.connect(node.context(), connection({ chap }), link());
  const record = node.record(iqn, "10.0.0.1,3260,1");
  for (const line of [
    "node.startup = manual",
    "node.session.scan = manual",
    "node.session.auth.authmethod = CHAP",
    "node.session.auth.username = node",
    "node.session.auth.password = geheim geheim",
  ]) {
    t.true(record.split("\n").includes(line), line);
  }
  t.is(record.split("\n").at(-2), "# END RECORD");
  const file = join(node.root, "var/lib/iscsi/nodes", iqn, "10.0.0.1,3260,1/default");
  t.is(statSync(file).mode & 0o777, 0o600);
  t.false(
    node.calls().some((call) => call.includes("geheim")),
    "in nobody's arguments",
  );
  t.false(node.log.some((line) => line.includes("geheim")));
});

test("credentials that are gone from the storage are gone from the record", async (t) => {
  const { node, link, connector } = setUp(t);
  node.portals({ "10.0.0.1:3260": "rejects", "10.0.0.2:3260": "rejects" });
  await t.throwsAsync(connector.connect(node.context(), connection({ chap }), link()), {
    code: "auth",
    message: /CHAP/,
  });
  node.portals({});
  await connector.connect(node.context(), connection(), link());
  t.notRegex(node.record(iqn, "10.0.0.1,3260,1"), /password|username|= CHAP/);
});

test("one portal that is down costs a path and a warning, and is tried again the next time", async (t) => {
  const { node, link, connector } = setUp(t);
  node.portals({ "10.0.0.2:3260": "refuses" });
  await connector.connect(node.context(), connection(), link());
  t.is(node.maps.get(wwid)?.paths.length, 1);
  t.true(node.log.some((line) => line.includes("10.0.0.2:3260") && line.includes("cannot be used")));
  node.portals({});
  await connector.connect(node.context(), connection(), link());
  t.is(node.maps.get(wwid)?.paths.length, 2);
});

test("a target without any portal is unreachable, each one named", async (t) => {
  const { node, link, connector } = setUp(t);
  node.portals({ "10.0.0.1:3260": "refuses", "10.0.0.2:3260": "refuses" });
  const connect = connector.connect(node.context(), connection(), link());
  await t.throwsAsync(connect, { code: "unreachable", message: /10\.0\.0\.1:3260.*10\.0\.0\.2:3260/ });
  t.false(existsSync(link()));
  t.false(node.hasRecords(iqn), "nor is a record left");
});

test("a portal that never answers is bounded by the caller's deadline", async (t) => {
  const { node, link, connector } = setUp(t);
  node.portals({ "10.0.0.1:3260": "silent", "10.0.0.2:3260": "silent" });
  const started = performance.now();
  await t.throwsAsync(connector.connect(node.context(500), connection(), link()), { code: "timeout" });
  t.true(performance.now() - started < 5_000);
});

test("what comes of an abandoned login is given up, unless it is used by then", async (t) => {
  const { node, link, connector } = setUp(t);
  node.portals({ "10.0.0.1:3260": "silent", "10.0.0.2:3260": "silent" });
  await t.throwsAsync(connector.connect(node.context(200), connection(), link()), { code: "timeout" });
  const sessions = join(node.root, "sessions");
  writeFileSync(sessions, `${iqn} 10.0.0.1:3260\n`);
  while (node.hasRecords(iqn) || readFileSync(sessions, "utf8") !== "") await setTimeout(50);
  node.portals({});
  await connector.connect(node.context(), connection(), link());
  await setTimeout(1_500);
  t.is((await node.iscsiSessions("", iqn)).length, 2);
});

test("the wrong disk is never opened: what an address was before goes first", async (t) => {
  const { node, link, connector } = setUp(t);
  node.export(iqn, 0, "2aaaa");
  await connector.connect(node.context(), connection({ wwid: "2aaaa" }), link("old"));
  node.export(iqn, 0, wwid);
  node.users.set("2aaaa", "LVM volume vg-root on it");
  await t.throwsAsync(connector.connect(node.context(), connection(), link()), {
    code: "refused",
    message: /is 2aaaa/,
  });
  t.is(node.devices.filter((device) => device.wwid === "2aaaa").length, 2, "what is in use stays");
  node.users.clear();
  await connector.connect(node.context(), connection(), link());
  t.deepEqual(
    node.devices.map((device) => device.wwid),
    [wwid, wwid],
  );
  t.false(node.maps.has("2aaaa"));
});

test("what is in use stays whole, with the user named", async (t) => {
  for (const multipath of ["running", "off"] as const) {
    const { node, link, connector } = setUp(t);
    node.multipath = multipath;
    await connector.connect(node.context(), connection(), link());
    node.users.set(wwid, "open in process 4711 (kvm)");
    const disconnect = connector.disconnect(node.context(), connection(), link());
    await t.throwsAsync(disconnect, { code: "busy", message: /4711/ });
    t.is(node.devices.length, 2);
    t.true(existsSync(link()) || readlinkSync(link()) !== "");
  }
});

test("a path that is not in the map goes too, unless it is in use", async (t) => {
  const { node, link, connector } = setUp(t);
  await connector.connect(node.context(), connection(), link());
  const hctl = { host: 1, channel: 0, target: 0, lun: 7 };
  node.devices.push({ name: "sdz", hctl, wwid, size: 1n << 30n, state: "running" });
  node.usersOfDevice.set("sdz", "mounted on /mnt");
  node.changes.length = 0;
  await t.throwsAsync(connector.disconnect(node.context(), connection(), link()), {
    code: "busy",
    message: /sdz.*mounted/,
  });
  t.deepEqual(node.changes, [], "nothing was touched");
  node.usersOfDevice.clear();
  await connector.disconnect(node.context(), connection(), link());
  t.deepEqual(
    node.changes.filter((change) => change.startsWith("delete")),
    ["delete 0:0:0:0", "delete 1:0:0:0", "delete 1:0:0:7"],
  );
  t.is(node.devices.length, 0);
});

test("without multipath a path is the device, flushed before it goes", async (t) => {
  const { node, link, connector } = setUp(t);
  node.multipath = "off";
  await connector.connect(node.context(), connection({ portals: ["[fd00::1]:3261"] }), link());
  t.is(readlinkSync(link()), "/dev/sda");
  t.true(node.calls().some((call) => call.includes("-p [fd00::1]:3261 --login")));
  node.changes.length = 0;
  await connector.disconnect(node.context(), connection(), link());
  t.deepEqual(node.changes, ["flush /dev/sda", "delete 0:0:0:0"]);
});

test("without multipath no path goes with data that waits for its connection", async (t) => {
  const { node, link, connector } = setUp(t);
  node.multipath = "off";
  await connector.connect(node.context(), connection(), link());
  const setState = (index: number, state: string) => {
    const device = node.devices[index];
    if (device) node.devices[index] = { ...device, state };
  };
  for (const state of ["blocked", "quiesce", "created-blocked"]) {
    setState(1, state);
    node.changes.length = 0;
    await t.throwsAsync(connector.disconnect(node.context(), connection(), link()), {
      code: "unreachable",
      message: new RegExp(`sdb' is ${state}.*; try again`),
    });
    t.deepEqual(node.changes, [], "nothing was touched");
    t.is(readlinkSync(link()), "/dev/sda");
  }
  setState(1, "running");
  await connector.disconnect(node.context(), connection(), link());
  t.deepEqual(
    node.changes.filter((change) => change.startsWith("flush")),
    ["flush /dev/sda", "flush /dev/sdb"],
    "each path has a cache of its own",
  );
});

test("a disk of another target or LUN that has the same identity keeps its map to itself", async (t) => {
  for (const there of [{ iqn: `${iqn}-other` }, { lun: 5 }])
    for (const how of "iqn" in there ? [{}, { size: 1n << 20n }, { multipath: false }] : [{}]) {
      const { node, link, connector } = setUp(t);
      const other = connection(there);
      node.export(other.iqn, other.lun, wwid);
      await connector.connect(node.context(), other, link("other"));
      const before = node.maps.get(wwid);
      node.changes.length = 0;
      await t.throwsAsync(connector.connect(node.context(), connection(how), link()), {
        code: "refused",
        message:
          /^connect LUN 0 of .*: map '.*' .* another disk's: '\/dev\/sda' at 0:0:0:[05], .*; deactivate /,
      });
      t.deepEqual(node.changes, [], "no path of this one came to be, which multipathd would add to the map");
      t.false(existsSync(link()));
      // PVE gives up what it could not activate.
      await connector.disconnect(node.context(), connection(how), link());
      t.deepEqual([node.changes, node.maps.get(wwid), node.devices.length], [[], before, 2]);
      t.is(readlinkSync(link("other")), `/dev/mapper/${wwid}`);
      await connector.disconnect(node.context(), other, link("other"));
      await connector.connect(node.context(), connection(), link());
      t.is(node.maps.get(wwid)?.paths.length, 2);
    }
});

test("a map that multipathd makes of this disk and another one is not handed out", async (t) => {
  const { node, link, connector } = setUp(t);
  const other = connection({ iqn: `${iqn}-other`, multipath: false });
  node.export(other.iqn, 0, wwid);
  await connector.connect(node.context(), other, link("other"));
  await t.throwsAsync(connector.connect(node.context(), connection(), link()), {
    code: "refused",
    message: /another disk's: '\/dev\/sda' at 0:0:0:0;/,
  });
  t.false(existsSync(link()));
});

test("a map without any of the paths that were found is not handed out", async (t) => {
  const { node, link, connector } = setUp(t);
  await connector.connect(node.context(), connection(), link());
  const map = node.maps.get(wwid);
  if (!map) return t.fail();
  node.maps.set(wwid, { ...map, paths: [] });
  node.stubborn = true;
  for (const how of [{}, { multipath: false }])
    await t.throwsAsync(connector.connect(node.context(), connection(how), link("again")), {
      code: "refused",
      message: /has none of its paths '\/dev\/sda'/,
    });
  t.false(existsSync(link("again")));
});

test("a path in the map whose session has lost its connection is the disk's own", async (t) => {
  const { node, link, connector } = setUp(t);
  await connector.connect(node.context(), connection(), link());
  node.lost.add(1);
  await connector.connect(node.context(), connection(), link());
  t.is(node.maps.get(wwid)?.paths.length, 2);
});

test("what an interrupted activation has left goes, also without a link", async (t) => {
  const { node, link, connector } = setUp(t);
  await connector.connect(node.context(), connection(), link());
  rmSync(link());
  await connector.disconnect(node.context(), connection(), link());
  t.deepEqual([node.devices.length, node.maps.size], [0, 0]);
});

test("a path that the kernel has given up keeps nothing from being taken off", async (t) => {
  for (const state of ["offline", "transport-offline"]) {
    const { node, link, connector } = setUp(t);
    node.multipath = "off";
    await connector.connect(node.context(), connection(), link());
    node.devices.splice(
      0,
      2,
      ...node.devices.map((device, index) => (index === 0 ? { ...device, state } : device)),
    );
    node.changes.length = 0;
    await connector.disconnect(node.context(), connection(), link());
    t.deepEqual(node.changes, ["flush /dev/sdb", "delete 0:0:0:0", "delete 1:0:0:0"]);
  }
});

test("a daemon that does not answer is an error, not a single path", async (t) => {
  const { node, link, connector } = setUp(t);
  node.multipath = "silent";
  await t.throwsAsync(connector.connect(node.context(), connection(), link()), {
    code: "unreachable",
    message: /multipathd/,
  });
});

test("the last volume of a target logs out, not one before", async (t) => {
  const { node, link, connector } = setUp(t);
  node.export(iqn, 1, "2bbbb");
  const other = connection({ lun: 1, wwid: "2bbbb" });
  await connector.connect(node.context(), connection(), link("a"));
  await connector.connect(node.context(), other, link("b"));
  await connector.disconnect(node.context(), connection(), link("a"));
  t.is((await node.iscsiSessions("", iqn)).length, 2);
  await connector.disconnect(node.context(), other, link("b"));
  t.is((await node.iscsiSessions("", iqn)).length, 0);
});

test("a new size is seen on every path and on the map", async (t) => {
  const { node, link, connector } = setUp(t);
  await connector.connect(node.context(), connection(), link());
  node.export(iqn, 0, wwid, 2n << 30n);
  node.changes.length = 0;
  await connector.refresh(node.context(), connection(), 2n << 30n);
  t.deepEqual(node.changes, ["rescan 0:0:0:0", "rescan 1:0:0:0", `resize map ${wwid} ${2n << 30n}`]);
});

test("what an array rounds up is the map's size too, also when it is asked for again", async (t) => {
  const { node, link, connector } = setUp(t);
  await connector.connect(node.context(), connection(), link());
  const [asked, real] = [(1n << 30n) + 1024n, (1n << 30n) + 16_384n];
  node.export(iqn, 0, wwid, real);
  for (const size of [real, undefined, undefined]) {
    await connector.refresh(node.context(), connection(size === undefined ? {} : { size }), asked);
    t.is(node.maps.get(wwid)?.size, real);
  }
});

test("a map that missed a resize gets the size of its paths with the next activation", async (t) => {
  for (const how of [{ size: 2n << 30n }, { size: 2n << 30n, multipath: false }, {}]) {
    const { node, link, connector } = setUp(t);
    await connector.connect(node.context(), connection(), link());
    node.export(iqn, 0, wwid, 2n << 30n);
    for (const { hctl } of [...node.devices]) await node.rescanPath("", hctl, wwid);
    // The other one is new, and has the new size.
    const map = node.maps.get(wwid);
    if (!map) return t.fail();
    node.maps.set(wwid, { ...map, paths: map.paths.slice(0, 1) });
    await connector.connect(node.context(), connection(how), link());
    t.is(node.maps.get(wwid)?.size, 2n << 30n);
    if (how.multipath !== false) t.is(node.maps.get(wwid)?.paths.length, 2);
  }
});

test("a path outside of the map grows with the next activation, not before", async (t) => {
  const { node, link, connector } = setUp(t);
  await connector.connect(node.context(), connection(), link());
  const map = node.maps.get(wwid);
  t.truthy(map);
  if (map) node.maps.set(wwid, { ...map, paths: map.paths.slice(0, 1) });
  node.export(iqn, 0, wwid, 2n << 30n);
  node.changes.length = 0;
  await connector.refresh(node.context(), connection(), 2n << 30n);
  t.deepEqual(node.changes, ["rescan 0:0:0:0", `resize map ${wwid} ${2n << 30n}`]);
  await connector.connect(node.context(), connection({ size: 2n << 30n }), link());
  t.true(node.devices.every(({ size }) => size === 2n << 30n));
});

test("32 volumes of one target connect at once with one login per portal", async (t) => {
  const { node, link, connector } = setUp(t);
  const all = Array.from({ length: 32 }, (_, lun) =>
    connection({ lun, wwid: `2${lun.toString(16).padStart(16, "0")}` }),
  );
  for (const { lun, wwid: id } of all) node.export(iqn, lun, id);
  await Promise.all(all.map((one) => connector.connect(node.context(), one, link(String(one.lun)))));
  t.is(node.calls().filter((call) => call.includes("--login")).length, 2);
  t.is(node.devices.length, 64);
});

test("where one path is enough the first portal that works is used, and no map is made", async (t) => {
  const { node, link, connector } = setUp(t);
  node.portals({ "10.0.0.1:3260": "refuses" });
  const one = connection({ multipath: false });
  await connector.connect(node.context(), one, link());
  t.deepEqual([readlinkSync(link()), node.maps.size, node.devices.length], ["/dev/sda", 0, 1]);
  t.true(node.log.some((line) => line.includes("10.0.0.1:3260") && line.includes("cannot be used")));
  node.portals({});
  await connector.connect(node.context(), one, link());
  t.is(node.calls().filter((call) => call.includes("--login")).length, 2, "one session is enough");
  await connector.disconnect(node.context(), one, link());
  t.deepEqual([node.devices.length, (await node.iscsiSessions("", iqn)).length], [0, 0]);
});

test("a disk that grew elsewhere is seen as it is, one of another size is not handed out", async (t) => {
  const { node, link, connector } = setUp(t);
  await connector.connect(node.context(), connection({ size: 1n << 30n }), link());
  node.export(iqn, 0, wwid, 2n << 30n);
  await connector.connect(node.context(), connection({ size: 2n << 30n }), link());
  t.true(node.devices.every(({ size }) => size === 2n << 30n));
  for (const size of [0n, 1n << 20n]) {
    const other = setUp(t);
    other.node.export(iqn, 0, wwid, size);
    const connect = other.connector.connect(
      other.node.context(),
      connection({ size: 2n << 30n }),
      other.link(),
    );
    await t.throwsAsync(connect, { code: "unreachable" });
    t.false(existsSync(other.link()));
  }
});

test("a volume that is given up is logged out of before the array is asked who uses it", async (t) => {
  const { node, link, connector } = setUp(t);
  await connector.connect(node.context(), connection(), link());
  await connector.disconnect(node.context(), connection(), link());
  t.is((await node.iscsiSessions("", iqn)).length, 0);
});
