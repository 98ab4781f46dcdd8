// SPDX-License-Identifier: AGPL-3.0-or-later
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { Worker } from "node:worker_threads";
import type { ExecutionContext } from "ava";

/** Listens and never accepts: as many connections as its queue takes, then not even an answer to the first packet. */
const deaf = `
const { parentPort, workerData } = require("node:worker_threads");
const server = require("node:net").createServer();
server.listen({ ...workerData, backlog: 1 }, () => {
  parentPort.postMessage(server.address().port);
  setTimeout(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0), 20);
});`;

/** An address that swallows every packet, as a host without power does; gives its port. */
export async function blackHole(t: ExecutionContext, host: string, port = 0): Promise<number> {
  const worker = new Worker(deaf, { eval: true, workerData: { host, port } });
  t.teardown(async () => void (await worker.terminate()));
  const [bound] = (await once(worker, "message")) as [number];
  // The worker is deaf by the time that connections stay unanswered; one can be late on a busy machine.
  for (let silent = 0; silent < 2; ) {
    const socket = connect({ host, port: bound });
    t.teardown(() => socket.destroy());
    socket.on("error", () => {});
    const connected = await new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(true));
      setTimeout(() => resolve(false), 300);
    });
    silent = connected ? 0 : silent + 1;
  }
  return bound;
}

/** A host that accepts connections and never answers; gives its port. */
export async function mute(t: ExecutionContext, host: string, port = 0): Promise<number> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket.on("error", () => {}));
  });
  server.listen(port, host);
  await once(server, "listening");
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** A way to a port of 127.0.0.1 whose connections can be made to end in nothing. */
export class Way {
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  /** Connections that were made. */
  made = 0;

  private constructor(readonly port: number) {}

  static async open(t: ExecutionContext, to: number, host = "127.0.0.1", port = 0): Promise<Way> {
    const server = createServer();
    server.listen(port, host);
    await once(server, "listening");
    const way = new Way((server.address() as AddressInfo).port);
    server.on("connection", (near) => way.#join(near, connect(to, "127.0.0.1")));
    t.teardown(() => {
      for (const [near, far] of way.#pairs) {
        near.destroy();
        far.destroy();
      }
      server.close();
    });
    return way;
  }

  /** Nothing comes through any connection that there is, and nobody is told. New ones work. */
  cutOff(): void {
    for (const [near, far] of this.#pairs) {
      near.unpipe(far);
      far.unpipe(near);
      far.removeAllListeners("close");
      near.removeAllListeners("close");
      near.resume();
      far.resume();
    }
  }

  #join(near: Socket, far: Socket): void {
    this.made++;
    const pair = [near, far] as const;
    this.#pairs.add(pair);
    near.pipe(far).pipe(near);
    near.on("error", () => far.destroy()).on("close", () => far.destroy());
    far.on("error", () => near.destroy()).on("close", () => near.destroy());
  }
}
