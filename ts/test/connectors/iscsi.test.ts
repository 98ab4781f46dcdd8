// SPDX-License-Identifier: AGPL-3.0-or-later
import { existsSync, readFileSync, readlinkSync, statSync, writeFileSync } from "node:fs";
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
  await connector.released(node.context(), connection());
  t.deepEqual(node.changes, [`remove map ${wwid}`, "delete 0:0:0:0", "delete 1:0:0:0"]);
  t.deepEqual(
    [node.devices.length, node.maps.size, node.hasRecords(iqn), existsSync(link())],
    [0, 0, false, false],
  );
  t.deepEqual(await node.iscsiSessions("", iqn), []);
  await connector.disconnect(node.context(), connection(), link());
  await connector.released(node.context(), connection());
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
  await connector.released(node.context(), connection());
  t.is((await node.iscsiSessions("", iqn)).length, 2);
  await connector.disconnect(node.context(), other, link("b"));
  await connector.released(node.context(), other);
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
