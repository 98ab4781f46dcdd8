// SPDX-License-Identifier: AGPL-3.0-or-later
import { existsSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { NvmeTcpConnector } from "../../src/connectors/nvme-tcp.js";
import { FakeNode } from "./fake-node.js";

const nqn = "nqn.2020-01.org.example:pool";
const [first, second] = ["0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"] as const;

function connection(nguid: string = first) {
  return { kind: "nvme-tcp", nqn, nguid, portals: ["10.0.0.1", "[fd00::2]:4421"] } as const;
}

function setUp(t: Parameters<typeof FakeNode.create>[0]) {
  const node = FakeNode.create(t);
  node.namespaces.set(nqn, [
    { name: "nvme0n1", nguid: first, size: 1n << 30n },
    { name: "nvme0n2", nguid: second, size: 1n << 30n },
  ]);
  const links = join(node.root, "run/dev");
  return {
    node,
    link: (name: string) => join(links, "store", name),
    connector: new NvmeTcpConnector(node, links, node.root),
  };
}

test("a namespace is one device over all portals; the last volume leaves the subsystem", async (t) => {
  const { node, link, connector } = setUp(t);
  await connector.connect(node.context(), connection(), link("a"));
  await connector.connect(node.context(), connection(second.toUpperCase()), link("b"));
  t.is(readlinkSync(link("a")), "/dev/nvme0n1");
  t.is(readlinkSync(link("b")), "/dev/nvme0n2");
  t.deepEqual(node.calls(), [
    `nvme connect -t tcp -n ${nqn} -a 10.0.0.1 -s 4420`,
    `nvme connect -t tcp -n ${nqn} -a fd00::2 -s 4421`,
  ]);
  await connector.disconnect(node.context(), connection(), link("a"));
  t.is((await node.nvmeControllers("", nqn)).length, 2, "another volume of it is connected");
  await connector.disconnect(node.context(), connection(second), link("b"));
  t.deepEqual(await node.nvmeControllers("", nqn), []);
  t.deepEqual(node.changes, ["flush /dev/nvme0n1", "flush /dev/nvme0n2"]);
});

test("a portal that is down costs a path, and is tried again the next time", async (t) => {
  const { node, link, connector } = setUp(t);
  node.portals({ "[fd00::2]:4421": "refuses" });
  await connector.connect(node.context(), connection(), link("a"));
  t.true(node.log.some((line) => line.includes("[fd00::2]:4421")));
  node.portals({});
  await connector.connect(node.context(), connection(), link("a"));
  t.is((await node.nvmeControllers("", nqn)).length, 2);
});

test("a subsystem without any portal is unreachable", async (t) => {
  const { node, link, connector } = setUp(t);
  node.portals({ "10.0.0.1:4420": "refuses", "[fd00::2]:4421": "refuses" });
  const connect = connector.connect(node.context(), connection(), link("a"));
  await t.throwsAsync(connect, { code: "unreachable", message: /10\.0\.0\.1:4420.*fd00::2/ });
});

test("the kernel's module is loaded once, and a kernel without it is told", async (t) => {
  const { node, link, connector } = setUp(t);
  const modprobe = join(node.root, "usr/sbin/modprobe");
  writeFileSync(modprobe, "#!/bin/sh\nexit 1\n", { mode: 0o755 });
  const connect = () => connector.connect(node.context(), connection(), link("a"));
  await t.throwsAsync(connect(), { code: "unsupported", message: /module nvme-tcp/ });
  t.deepEqual(node.calls(), []);
  writeFileSync(
    modprobe,
    `#!/bin/sh\nmkdir -p "${node.root}/sys/module/nvme_tcp" && echo "$*" >>"${node.root}/loaded"\n`,
  );
  await connect();
  node.portals({ "[fd00::2]:4421": "refuses" });
  await connect();
  t.is(readFileSync(join(node.root, "loaded"), "utf8"), "nvme-tcp\n");
});

test("a namespace that was exported a moment ago is looked for", async (t) => {
  const { node, link, connector } = setUp(t);
  node.namespaces.set(nqn, [{ name: "nvme0n3", nguid: first, size: 1n << 30n, hidden: true }]);
  await connector.connect(node.context(), connection(), link("a"));
  t.is(readlinkSync(link("a")), "/dev/nvme0n3");
  t.deepEqual(node.changes, ["rescan nvme0", "rescan nvme1"]);
});

test("a namespace that the array took away leaves no link to the disk that has its name next", async (t) => {
  const { node, link, connector } = setUp(t);
  await connector.connect(node.context(), connection(), link("a"));
  node.namespaces.set(nqn, [{ name: "nvme0n1", nguid: second, size: 1n << 30n }]);
  const soon = { ...node.context(), signal: AbortSignal.timeout(2_000) };
  await t.throwsAsync(connector.connect(soon, connection(), link("a")));
  t.false(existsSync(link("a")));
});

test("what cannot be written out stays, without a wait that nothing could end", async (t) => {
  const { node, link, connector } = setUp(t);
  await connector.connect(node.context(), connection(), link("a"));
  node.nvmeState = "connecting";
  const disconnect = () => connector.disconnect(node.context(), connection(), link("a"));
  await t.throwsAsync(disconnect(), { code: "unreachable", message: /no connection/ });
  t.is(readlinkSync(link("a")), "/dev/nvme0n1");
  t.deepEqual(node.changes, []);
  node.nvmeState = "live";
  await disconnect();
  t.false(existsSync(link("a")));
});

test("what is in use stays, also for whoever would leave the subsystem", async (t) => {
  const { node, link, connector } = setUp(t);
  await connector.connect(node.context(), connection(), link("a"));
  node.users.set("nvme0n1", "open in process 7 (kvm)");
  await t.throwsAsync(connector.disconnect(node.context(), connection(), link("a")), {
    code: "busy",
    message: /kvm/,
  });
  t.is(readlinkSync(link("a")), "/dev/nvme0n1");
  t.false(existsSync(link("b")));
  await connector.disconnect(node.context(), connection(second), link("b"));
  t.is((await node.nvmeControllers("", nqn)).length, 2);
});

test("a new size is waited for", async (t) => {
  const { node, link, connector } = setUp(t);
  await connector.connect(node.context(), connection(), link("a"));
  const grow = () => node.namespaces.set(nqn, [{ name: "nvme0n1", nguid: first, size: 2n << 30n }]);
  setTimeout(grow, 100);
  await connector.refresh(node.context(), connection(), 2n << 30n);
  t.deepEqual(node.changes, ["rescan nvme0", "rescan nvme1"]);
});
