// SPDX-License-Identifier: AGPL-3.0-or-later
import { createServer } from "node:net";
import { join } from "node:path";
import { Connection } from "../../src/bridge/connection.js";
import { Metrics } from "../../src/bridge/metrics.js";
import { BridgeClient } from "../../src/cli/client.js";
import { silentLogger } from "../../src/common/log.js";
import { type Session, storeid } from "./session.js";

/** A client on a connection of its own to the service of the session's node. */
export interface Wire {
  call<T>(method: string, args: object, deadlineMs?: number): Promise<T>;
  /** Hangs up, as the death of the client's process does; waits until the service is done with the connection. */
  hangUp(): Promise<void>;
}

/** Runs `body` with a way to open connections to the service, over a real socket. */
export async function overBridge(
  s: Session,
  body: (connect: () => Promise<Wire>) => Promise<void>,
): Promise<void> {
  const path = join(s.scratch, "bridge.sock");
  const accepted: Connection[] = [];
  // Half-open, as the service has it.
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    accepted.push(
      new Connection(socket, s.storages, { version: "0", metrics: new Metrics("0", "node-a") }, silentLogger),
    );
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const wires: Wire[] = [];
  const connect = async (): Promise<Wire> => {
    const index = wires.length;
    const client = await BridgeClient.connect(path);
    const wire: Wire = {
      call: (method, args, deadlineMs) =>
        client.call(method, { storeid, scfg: s.place.section }, args, deadlineMs),
      hangUp: async () => {
        client.close();
        await accepted[index]?.ended;
      },
    };
    wires.push(wire);
    // Answered: so it has been accepted, and is the last one that was.
    await client.call("ping", undefined);
    return wire;
  };
  try {
    await body(connect);
  } finally {
    for (const wire of wires) await wire.hangUp();
    await new Promise((resolve) => server.close(resolve));
  }
}
