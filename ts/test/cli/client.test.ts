// SPDX-License-Identifier: AGPL-3.0-or-later
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import test, { type ExecutionContext } from "ava";
import { BridgeClient } from "../../src/cli/client.js";

interface Heard {
  readonly connection: number;
  readonly id: number;
  readonly method: string;
}

/** A service of a few lines; `answer` gives a reply's members, or nothing to hang up. */
async function service(
  t: ExecutionContext,
  answer: (heard: Heard, all: readonly Heard[]) => object | undefined,
): Promise<{ socket: string; dir: string; heard: Heard[] }> {
  const dir = mkdtempSync(join(tmpdir(), "blockio-client-"));
  const socket = join(dir, "s");
  const heard: Heard[] = [];
  const open = new Set<Socket>();
  let connections = 0;
  const server = createServer((connection) => {
    const number = ++connections;
    open.add(connection.on("error", () => {}));
    createInterface({ input: connection }).on("line", (line) => {
      const one = { ...(JSON.parse(line) as Heard), connection: number };
      heard.push(one);
      const reply = answer(one, heard);
      if (reply) connection.write(`${JSON.stringify({ id: one.id, ...reply })}\n`);
      else connection.destroy();
    });
  });
  server.listen(socket);
  await once(server, "listening");
  t.teardown(() => {
    for (const connection of open) connection.destroy();
    server.close();
    rmSync(dir, { recursive: true, force: true });
  });
  return { socket, dir, heard };
}

const section = { storeid: "store", scfg: { type: "blockio", path: "/srv" } };

test("an export that begins while the service ends is asked of the next one", async (t) => {
  const { socket, heard } = await service(t, (_one, all) =>
    all.length === 1 ? undefined : { result: { path: "/dev/x" } },
  );
  const { client, held } = await BridgeClient.hold(socket, "volume_export", section, {});
  t.deepEqual(held, { path: "/dev/x" });
  t.deepEqual(
    heard.map(({ connection }) => connection),
    [1, 2],
  );
  t.false(client.closed);
  client.close();
});

test("a request that ends every service is not sent a third time", async (t) => {
  const { socket, heard } = await service(t, () => undefined);
  await t.throwsAsync(BridgeClient.hold(socket, "volume_export", section, {}), {
    code: "unreachable",
    message: /hung up/,
  });
  t.is(heard.length, 2);
});

test("what the service refuses is not asked again", async (t) => {
  const { socket, heard } = await service(t, () => ({ error: { code: "unreachable", message: "no array" } }));
  await t.throwsAsync(BridgeClient.hold(socket, "volume_export", section, {}), { message: "no array" });
  t.is(heard.length, 1);
});

test("an import whose array is silent at the end is committed over its own connection", async (t) => {
  const { socket, dir, heard } = await service(t, ({ method }, all) => {
    if (method === "volume_import") {
      const target = { kind: "create", path: join(dir, "image"), zeroed: true };
      return { result: { volname: "100/vm-100-disk-0.raw", target, token: "t" } };
    }
    if (method !== "volume_import_commit") return { result: null };
    if (all.filter((one) => one.method === method).length === 1)
      return { error: { code: "unreachable", message: "no answer from the array" } };
    return { result: { volname: "100/vm-100-disk-0.raw" } };
  });
  const program = "build/src/cli/main.js";
  const child = spawn(
    process.execPath,
    [program, "import", "store:100/vm-100-disk-0.raw", "--socket", socket],
    {
      stdio: ["pipe", "pipe", "pipe"],
      env: { PVE_BLOCKIO_SCFG: JSON.stringify(section), PATH: "/usr/bin:/bin" },
    },
  );
  const header = Buffer.alloc(8);
  header.writeBigUInt64LE(65_536n);
  child.stdin.end(Buffer.concat([header, Buffer.alloc(65_536, 7)]));
  let [said, complaint] = ["", ""];
  child.stdout.on("data", (data) => {
    said += String(data);
  });
  child.stderr.on("data", (data) => {
    complaint += String(data);
  });
  const [status] = await once(child, "close");
  t.is(status, 0, complaint);
  t.is(said, "store:100/vm-100-disk-0.raw\n");
  t.true(readFileSync(join(dir, "image")).equals(Buffer.alloc(65_536, 7)));
  const commits = heard.filter(({ method }) => method === "volume_import_commit");
  t.deepEqual(
    commits.map(({ connection }) => connection),
    [1, 1],
  );
});
