// SPDX-License-Identifier: AGPL-3.0-or-later
import { writeFileSync } from "node:fs";
import { isIP } from "node:net";
import { fail } from "../common/errors.js";
import { text, texts, type Values } from "./options.js";
import { defined, listenOf, pairs, portOf, type Simulated, seedOf, sizedOf, some } from "./sim-values.js";

/** `pve-blockio sim joviandss`. */
export const joviandss: Simulated = {
  own: ["user", "pool", "vip", "data-port", "certificate", "targets"],
  async start(values) {
    const { ExportCommand, JovianSimulator, behaviourSchema, faultPlanSchema } = await import(
      "../../sim/joviandss/index.js"
    );
    const program = text(values, "targets");
    const simulator = await JovianSimulator.start({
      ...addressesOf(values),
      ...defined("user", text(values, "user")),
      ...defined("password", process.env["JOVIANDSS_PASSWORD"]),
      ...defined("pools", some(texts(values, "pool").map((pool) => sizedOf("pool", pool)))),
      ...defined("vips", some(texts(values, "vip").map((vip) => addressOf("vip", vip)))),
      ...defined("dataPort", portOf("data-port", text(values, "data-port"))),
      ...defined("data", text(values, "data")),
      ...defined("exporter", program === undefined ? undefined : new ExportCommand(program)),
      behaviour: pairs(values, "set", behaviourSchema),
      faults: pairs(values, "fault", faultPlanSchema),
      seed: seedOf(values),
      control: values["control"] === true,
    });
    const certificate = text(values, "certificate");
    if (certificate !== undefined) writeFileSync(certificate, simulator.certificate);
    const addresses = simulator.addresses.map(
      (address) => `https://${address.includes(":") ? `[${address}]` : address}:${simulator.port}`,
    );
    return { addresses, close: () => simulator.close() };
  },
};

/** `ADDRESS[,ADDRESS...]:PORT`; two addresses of this machine when nothing is said. */
function addressesOf(values: Values): { addresses?: readonly string[]; port?: number } {
  if (text(values, "listen") === undefined) return {};
  const { host, port } = listenOf(values);
  return { addresses: host.split(",").map((address) => addressOf("listen", address)), port };
}

function addressOf(option: string, given: string): string {
  const address = given.replace(/^\[(.*)\]$/, "$1");
  if (isIP(address) === 0) throw fail("invalid", `--${option} '${given}' is not an IP address`);
  return address;
}
