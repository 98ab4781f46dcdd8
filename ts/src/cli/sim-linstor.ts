// SPDX-License-Identifier: AGPL-3.0-or-later
import { writeFileSync } from "node:fs";
import { fail } from "../common/errors.js";
import { bytesOf, text, texts } from "./options.js";
import { defined, listenOf, pairs, portOf, type Simulated, seedOf, some } from "./sim-values.js";

/** `pve-blockio sim linstor`. */
export const linstor: Simulated = {
  own: ["token", "devices", "certificate", "tls-port", "node", "storage-pool", "group", "foreign"],
  async start(values) {
    if (text(values, "devices") !== undefined && text(values, "data") === undefined)
      throw fail("invalid", "--devices needs --data");
    const { LinstorSimulator, behaviourSchema, faultPlanSchema, layerKinds, poolKinds } = await import(
      "../../sim/linstor/index.js"
    );
    const { host, port } = listenOf(values);
    const simulator = await LinstorSimulator.start({
      controllers: host.split(",").map((address) => address.replace(/^\[(.*)\]$/, "$1")),
      port,
      ...defined("tlsPort", portOf("tls-port", text(values, "tls-port"))),
      ...defined("token", text(values, "token")),
      ...defined("data", text(values, "data")),
      ...defined("devices", text(values, "devices")),
      ...defined("nodes", some(texts(values, "node").map(nodeOf))),
      ...defined("pools", some(texts(values, "storage-pool").map((given) => poolOf(given, poolKinds)))),
      ...defined("groups", some(texts(values, "group").map((given) => groupOf(given, layerKinds)))),
      ...defined("foreign", text(values, "foreign")),
      behaviour: pairs(values, "set", behaviourSchema),
      faults: pairs(values, "fault", faultPlanSchema),
      seed: seedOf(values),
      control: values["control"] === true,
    });
    const certificate = text(values, "certificate");
    if (certificate !== undefined) writeFileSync(certificate, simulator.certificate);
    return { addresses: simulator.urls, close: () => simulator.close() };
  },
};

function nodeOf(given: string): { name: string; dir?: string } {
  const [, name, dir] = /^([A-Za-z0-9.-]+)(?::([A-Za-z0-9_.-]+))?$/.exec(given) ?? [];
  if (!name) throw fail("invalid", `--node '${given}' is not NAME or NAME:DIR`);
  return { name, ...defined("dir", dir) };
}

/** `NAME[:KIND[:BYTES]]`. */
function poolOf<K extends string>(
  given: string,
  kinds: readonly K[],
): { name: string; kind?: K; capacity?: number } {
  const [name, kindName, size] = given.split(":");
  const kind = kinds.find((one) => one === kindName);
  if (!name || (kindName !== undefined && !kind))
    throw fail("invalid", `--storage-pool '${given}' is not NAME[:KIND[:BYTES]]; kinds: ${kinds.join(", ")}`);
  const capacity = size === undefined ? undefined : Number(bytesOf("storage-pool", size));
  return { name, ...defined("kind", kind), ...defined("capacity", capacity) };
}

/** `NAME[:PLACES[:LAYER,LAYER...]]`. */
function groupOf<L extends string>(
  given: string,
  kinds: readonly L[],
): { name: string; placeCount?: number; layers?: readonly L[] } {
  const [name, places, stack] = given.split(":");
  const layers = stack?.split(",").map((layer) => kinds.find((one) => one === layer));
  if (!name || (places !== undefined && !/^[1-9][0-9]?$/.test(places)) || layers?.includes(undefined))
    throw fail("invalid", `--group '${given}' is not NAME[:PLACES[:LAYER,LAYER...]]`);
  return {
    name,
    ...defined("placeCount", places === undefined ? undefined : Number(places)),
    ...defined(
      "layers",
      layers?.flatMap((layer) => layer ?? []),
    ),
  };
}
