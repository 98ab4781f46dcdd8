// SPDX-License-Identifier: AGPL-3.0-or-later
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import test, { type ExecutionContext } from "ava";
import { maxLineBytes } from "../../src/bridge/limits.js";
import { Bridge } from "../../src/bridge/server.js";
import { silentLogger } from "../../src/common/log.js";
import { Storages } from "../../src/plugin/storage.js";

interface Reply {
  id: number;
  working?: true;
  result?: unknown;
  error?: { code: string; message: string };
}

interface Started {
  socket: string;
  dir: string;
  bridge: Bridge;
  storages: Storages;
}

async function start(t: ExecutionContext): Promise<Started> {
  const dir = mkdtempSync(join(tmpdir(), "blockio-bridge-"));
  const socket = join(dir, "bridge.sock");
  const storages = new Storages({ name: "node1" });
  const bridge = new Bridge({
    storages,
    version: "9.9.9",
    log: silentLogger,
  });
  await bridge.listen(socket);
  t.teardown(async () => {
    await bridge.stop();
    rmSync(dir, { recursive: true, force: true });
  });
  return { socket, dir, bridge, storages };
}

class Client {
  readonly socket: Socket;
  readonly #lines: Interface;
  readonly #iterator: AsyncIterator<string>;

  constructor(path: string) {
    this.socket = createConnection({ path });
    this.#lines = createInterface({ input: this.socket });
    this.#iterator = this.#lines[Symbol.asyncIterator]();
  }

  send(...requests: object[]): void {
    this.socket.write(requests.map((request) => `${JSON.stringify(request)}\n`).join(""));
  }

  async next(): Promise<Reply | undefined> {
    const { value, done } = await this.#iterator.next();
    return done ? undefined : (JSON.parse(value) as Reply);
  }

  /** The next reply that is more than a sign of life. */
  async answer(): Promise<Reply | undefined> {
    const reply = await this.next();
    return reply?.working ? await this.answer() : reply;
  }

  close(): void {
    this.socket.destroy();
  }
}

test("the socket is for its owner only", async (t) => {
  const { socket } = await start(t);
  t.is(statSync(socket).mode & 0o777, 0o600);
});

test("ping tells version and protocol", async (t) => {
  const { socket } = await start(t);
  const client = new Client(socket);
  client.send({ id: 7, method: "ping" });
  t.deepEqual(await client.next(), { id: 7, result: { version: "9.9.9", protocol: 1 } });
  client.close();
});

test("several requests on one connection are all answered", async (t) => {
  const { socket } = await start(t);
  const client = new Client(socket);
  client.send(...Array.from({ length: 20 }, (_, id) => ({ id, method: "ping" })));
  const ids = new Set<number>();
  for (let n = 0; n < 20; n++) ids.add((await client.next())?.id ?? -1);
  t.is(ids.size, 20);
  client.close();
});

test("a request that arrives byte by byte, with a character cut in half, is understood", async (t) => {
  const { socket } = await start(t);
  const client = new Client(socket);
  for (const byte of Buffer.from(`{"id":1,"method":"ping","args":{"x":"ü€"}}\n`)) {
    client.socket.write(Buffer.from([byte]));
    await new Promise((resolve) => setImmediate(resolve));
  }
  t.is((await client.next())?.id, 1);
  client.close();
});

test("garbage is answered as invalid and the connection stays usable", async (t) => {
  const { socket } = await start(t);
  const client = new Client(socket);
  client.socket.write("{]\n\u0000\u0001\n[1,2]\n");
  for (let n = 0; n < 3; n++) t.is((await client.next())?.error?.code, "invalid");
  client.send({ id: 2, method: "ping" });
  t.is((await client.next())?.id, 2);
  client.close();
});

test("a line without end is cut off", async (t) => {
  const { socket } = await start(t);
  const client = new Client(socket);
  client.socket.on("error", () => {});
  client.socket.write("x".repeat(maxLineBytes + 10));
  t.is((await client.next())?.error?.code, "invalid");
  t.is(await client.next(), undefined);
});

test("unknown methods, types and malformed arguments are typed errors that name no value", async (t) => {
  const { socket, dir } = await start(t);
  const client = new Client(socket);
  const scfg = { type: "blockio", path: dir };
  client.send({ id: 1, method: "no_such", storeid: "s1", scfg });
  t.is((await client.next())?.error?.code, "unsupported");
  client.send({ id: 2, method: "status", storeid: "s1", scfg: { type: "dir" } });
  t.is((await client.next())?.error?.code, "invalid");
  client.send({ id: 3, method: "status" });
  t.is((await client.next())?.error?.code, "invalid");
  client.send({
    id: 4,
    method: "alloc_image",
    storeid: "s1",
    scfg,
    args: { vmid: "hunter2", format: "raw", size: "1" },
  });
  const reply = await client.next();
  t.is(reply?.error?.code, "invalid");
  t.notRegex(reply?.error?.message ?? "", /hunter2/);
  client.close();
});

test("a second service does not take the socket of one that answers", async (t) => {
  const { socket } = await start(t);
  const second = new Bridge({ storages: new Storages({ name: "n" }), version: "1", log: silentLogger });
  await t.throwsAsync(second.listen(socket), { code: "busy" });
});

test("a service that stops answers what it has begun and then hangs up", async (t) => {
  const { socket, bridge } = await start(t);
  const client = new Client(socket);
  client.send({ id: 1, method: "ping" });
  t.is((await client.next())?.id, 1);
  await bridge.stop();
  t.is(await client.next(), undefined);
});

/** A guest's lock that a call waits for, so that the call is under way until `release`. */
async function callUnderWay(t: ExecutionContext) {
  const { socket, dir, bridge, storages } = await start(t);
  const section = { storeid: "store", scfg: { type: "blockio", path: dir, content: { images: true } } };
  const alloc = (id: number, vmid: number) => ({
    id,
    method: "alloc_image",
    ...section,
    args: { vmid, format: "raw", name: null, size: "1048576" },
  });
  const release = await storages
    .open(section.storeid, section.scfg)
    .lockGuests([100], AbortSignal.timeout(60_000));
  const client = new Client(socket);
  client.send(alloc(1, 100));
  t.deepEqual(await client.next(), { id: 1, working: true });
  return { socket, bridge, section, alloc, client, release };
}

test("while a service finishes a long call, brief ones are answered, on new connections too", async (t) => {
  const { socket, bridge, section, client, release } = await callUnderWay(t);
  const stopped = bridge.stop();
  for (const one of [client, new Client(socket)]) {
    one.send({ id: 7, method: "status", ...section, args: {} });
    const reply = await one.answer();
    t.is(reply?.id, 7);
    t.truthy(reply?.result, JSON.stringify(reply));
  }
  release();
  t.is((await client.answer())?.id, 1, "what was under way is answered");
  await stopped;
  t.is(await client.next(), undefined);
});

test("a change asked of a service that stops hears of work until it hangs up, and is not begun", async (t) => {
  const { socket, bridge, alloc, section, client, release } = await callUnderWay(t);
  const stopped = bridge.stop();
  const late = new Client(socket);
  late.send(alloc(2, 101));
  t.deepEqual(await late.next(), { id: 2, working: true });
  release();
  await stopped;
  t.is(await late.answer(), undefined);
  t.is((await client.answer())?.id, 1, "what was under way is answered");
  const next = new Bridge({ storages: new Storages({ name: "n" }), version: "1", log: silentLogger });
  await next.listen(socket);
  t.teardown(() => next.stop());
  const asked = new Client(socket);
  asked.send({ id: 3, method: "list_images", ...section, args: { vmid: null, vollist: null } });
  const list = (await asked.answer())?.result as { vmid: number }[];
  t.deepEqual(
    list.map(({ vmid }) => vmid),
    [100],
  );
});
