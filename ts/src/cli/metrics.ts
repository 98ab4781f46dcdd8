// SPDX-License-Identifier: AGPL-3.0-or-later
import { fail } from "../common/errors.js";
import { BridgeClient } from "./client.js";
import { type Command, common, socketOf } from "./options.js";
import { print } from "./output.js";

export const metrics: Command = {
  name: "metrics",
  operands: "",
  summary: "Print the service's metrics in Prometheus' text format.",
  details:
    "Calls by method and result, their times, requests to arrays, streams and their\n" +
    "bytes, since the service was started. For node_exporter's textfile collector:\n" +
    "pve-blockio metrics | sponge DIR/pve-blockio.prom",
  options: { socket: common.socket },
  async run(values, operands) {
    if (operands.length > 0)
      throw fail("invalid", "metrics: takes no operands; see pve-blockio metrics --help");
    const client = await BridgeClient.connect(socketOf(values));
    try {
      print((await client.call<{ text: string }>("metrics", undefined)).text);
    } finally {
      client.close();
    }
    return 0;
  },
};
