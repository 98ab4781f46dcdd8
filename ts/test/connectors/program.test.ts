// SPDX-License-Identifier: AGPL-3.0-or-later
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { silentLogger } from "../../src/common/log.js";
import { ProgramConnector } from "../../src/connectors/program.js";

const connection = {
  kind: "iscsi",
  iqn: "iqn.2020-01.org.example:vm-100-0",
  portals: ["10.0.0.1:3260"],
  lun: 0,
  wwid: "2aaaa",
  size: 1n << 40n,
  chap: { user: "u", password: "geheim" },
} as const;

function setUp(t: ExecutionContext, body: string) {
  const dir = mkdtempSync(join(tmpdir(), "blockio-program-"));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const program = join(dir, "program");
  writeFileSync(program, `#!/bin/sh\necho "$*" >>'${dir}/calls'\ncat >'${dir}/input'\n${body}\n`);
  chmodSync(program, 0o755);
  const ctx = { signal: AbortSignal.timeout(20_000), log: silentLogger };
  return { dir, ctx, link: join(dir, "run/disk"), connector: new ProgramConnector(program) };
}

test("a program makes devices: it is told on its standard input, not by arguments", async (t) => {
  const { dir, ctx, link, connector } = setUp(t, `echo '{"device":"/dev/loop7"}'`);
  t.is(await connector.connect(ctx, connection, link), link);
  t.is(readlinkSync(link), "/dev/loop7");
  t.like(JSON.parse(readFileSync(join(dir, "input"), "utf8")), { wwid: "2aaaa", size: String(1n << 40n) });
  await connector.disconnect(ctx, connection, link);
  t.false(existsSync(link));
  await connector.refresh(ctx, connection, 5n);
  t.like(JSON.parse(readFileSync(join(dir, "input"), "utf8")), { size: "5" });
  t.is(readFileSync(join(dir, "calls"), "utf8"), "connect\ndisconnect\nrefresh\n");
});

test("what it says of a failure is the error", async (t) => {
  const { ctx, link, connector } = setUp(t, `echo '{"code":"busy","message":"open in qemu"}'`);
  await t.throwsAsync(connector.disconnect(ctx, connection, link), { code: "busy", message: /open in qemu/ });
  const other = setUp(t, "echo nonsense");
  await t.throwsAsync(other.connector.connect(ctx, connection, link), { code: "internal" });
});
