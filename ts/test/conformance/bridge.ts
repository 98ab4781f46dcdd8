// SPDX-License-Identifier: AGPL-3.0-or-later
import { join } from "node:path";
import { Bridge } from "../../src/bridge/server.js";
import { BridgeClient } from "../../src/cli/client.js";
import { silentLogger } from "../../src/common/log.js";
import { type Session, storeid } from "./session.js";

/** A client on a connection of its own to the service of the session's node. */
export interface Wire {
  call<T>(method: string, args: object, deadlineMs?: number): Promise<T>;
  /** Hangs up, as the death of the client's process does. */
  hangUp(): void;
}

/** Runs `body` with a bridge on a socket, and a way to open connections to it. */
export async function overBridge(
  s: Session,
  body: (connect: () => Promise<Wire>) => Promise<void>,
): Promise<void> {
  const socket = join(s.scratch, "bridge.sock");
  const bridge = new Bridge({ storages: s.storages, version: "0", log: silentLogger });
  await bridge.listen(socket);
  const clients: BridgeClient[] = [];
  const connect = async (): Promise<Wire> => {
    const client = await BridgeClient.connect(socket);
    clients.push(client);
    return {
      call: (method, args, deadlineMs) =>
        client.call(method, { storeid, scfg: s.place.section }, args, deadlineMs),
      hangUp: () => client.close(),
    };
  };
  try {
    await body(connect);
  } finally {
    for (const client of clients) client.close();
    await bridge.stop();
  }
}
