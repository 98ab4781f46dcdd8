// SPDX-License-Identifier: AGPL-3.0-or-later
// One request to the service, for the storage STOREID with the section SCFG.
//
// usage: node ask.mjs SOCKET METHOD [ARGS]
import { send } from "../../tests/lib/bridge.mjs";
import { printResult } from "./print.mjs";

const [socket, method, args = "{}"] = process.argv.slice(2);

await printResult(async () => {
  const scfg = JSON.parse(process.env.SCFG ?? "{}");
  const reply = await send(socket, { method, storeid: process.env.STOREID, scfg, args: JSON.parse(args) });
  if (reply.error) throw reply.error;
  return reply.result;
});
