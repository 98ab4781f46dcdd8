// SPDX-License-Identifier: AGPL-3.0-or-later
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/**
 * Keeps a port at which nobody listens from being given to somebody who asks for any, by a connection that comes from it.
 * Whoever connects to it is refused; listening there still works. The result ends it.
 */
export async function keepPort(address: string, port: number): Promise<() => void> {
  const accepted: Socket[] = [];
  const server = createServer((socket) => {
    accepted.push(socket.on("error", () => {}).unref());
  }).unref();
  await once(server.listen(0, address), "listening");
  const there = (server.address() as AddressInfo).port;
  const held = connect({ host: address, port: there, localAddress: address, localPort: port });
  await once(held, "connect");
  held.on("error", () => {}).unref();
  return () => {
    held.resetAndDestroy();
    for (const socket of accepted) socket.destroy();
    server.close();
  };
}
