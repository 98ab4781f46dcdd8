// SPDX-License-Identifier: AGPL-3.0-or-later
// The connectors in a process of their own, as they are in the service; asked by lib/ask-connectors.pl, one JSON text for
// each line: {verb, connection, link, size, limit} with the limit in seconds.
//
// usage: node connectors.mjs SOCKET
import { createServer } from "node:net";
import { createInterface } from "node:readline";

const { connectorFor } = await import("../../build/src/connectors/registry.js");
const { createLogger } = await import("../../build/src/common/log.js");
const { fail } = await import("../../build/src/common/errors.js");

const log = createLogger({ level: "debug", write: (line) => process.stderr.write(`${line}\n`) });

async function answer({ verb, connection, link, size, limit = 60 }) {
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(fail("timeout", `not done in ${limit} s`)), limit * 1000);
  const ctx = { signal: deadline.signal, log };
  const connector = connectorFor(connection.kind);
  try {
    switch (verb) {
      case "attach":
        return await connector.connect(ctx, connection, link);
      case "detach":
        await connector.disconnect(ctx, connection, link);
        await connector.released?.(ctx, connection);
        return "";
      case "refresh":
        await connector.refresh(ctx, connection, BigInt(size));
        return "";
      default:
        throw fail("invalid", `no verb '${verb}'`);
    }
  } finally {
    clearTimeout(timer);
  }
}

createServer((client) => {
  client.on("error", () => {});
  createInterface({ input: client }).on("line", async (line) => {
    let reply;
    try {
      reply = { result: await answer(JSON.parse(line)) };
    } catch (error) {
      reply = { error: `${error.code}: ${error.message}` };
    }
    client.end(`${JSON.stringify(reply)}\n`);
  });
}).listen(process.argv[2]);
