// SPDX-License-Identifier: AGPL-3.0-or-later
import { readlinkSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { FcConnector } from "../../src/connectors/fc.js";
import { FakeNode } from "./fake-node.js";

const wwid = "3600a098000000001";
const wwpns = ["500a0981", "500a0982"];
const connection = { kind: "fc", wwpns, lun: 3, wwid } as const;

test("a LUN is looked for at exactly the ports that export it", async (t) => {
  const node = FakeNode.create(t);
  const link = join(node.root, "run/dev/store/vm");
  const connector = new FcConnector(node, node.root);
  await t.throwsAsync(connector.connect(node.context(), connection, link), {
    code: "unreachable",
    message: /500a0981, 500a0982.*zoning/,
  });
  node.fabric.set("500a0981", [{ host: 0, channel: 0, target: 4, state: "Online" }]);
  node.fabric.set("500a0982", [
    { host: 1, channel: 0, target: 5, state: "Online" },
    { host: 1, channel: 0, target: 6, state: "Blocked" },
  ]);
  const sees = [
    { host: 0, channel: 0, target: 4, lun: 3 },
    { host: 1, channel: 0, target: 5, lun: 3 },
  ];
  for (const [index, hctl] of sees.entries()) {
    node.devices.push({ name: `sd${"ab"[index]}`, hctl, wwid, size: 1n << 30n, state: "running" });
  }
  await connector.connect(node.context(), connection, link);
  t.deepEqual(node.changes, ["scan 0:0:4:3", "scan 1:0:5:3"]);
  t.is(readlinkSync(link), `/dev/mapper/${wwid}`);
  await connector.disconnect(node.context(), connection, link);
  t.is(node.devices.length, 0);
});
