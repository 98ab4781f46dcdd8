// SPDX-License-Identifier: AGPL-3.0-or-later
import { fail } from "../common/errors.js";
import { text, texts } from "./options.js";
import { defined, listenOf, pairs, type Simulated, seedOf, sizedOf, some } from "./sim-values.js";

/** `pve-blockio sim storpool`. */
export const storpool: Simulated = {
  own: ["token", "devices", "template", "client", "cluster-id", "foreign"],
  async start(values) {
    if (text(values, "devices") !== undefined && text(values, "data") === undefined)
      throw fail("invalid", "--devices needs --data");
    const { StorPoolSimulator, behaviourSchema, faultPlanSchema } = await import(
      "../../sim/storpool/index.js"
    );
    const simulator = await StorPoolSimulator.start({
      ...listenOf(values),
      ...defined("token", text(values, "token") ?? process.env["SP_AUTH_TOKEN"]),
      ...defined("data", text(values, "data")),
      ...defined("devices", text(values, "devices")),
      ...defined("clusterId", text(values, "cluster-id")),
      ...defined("templates", some(texts(values, "template").map(templateOf))),
      ...defined("clients", some(texts(values, "client").map(clientOf))),
      ...defined("foreign", foreignOf(text(values, "foreign"))),
      behaviour: pairs(values, "set", behaviourSchema),
      faults: pairs(values, "fault", faultPlanSchema),
      seed: seedOf(values),
      control: values["control"] === true,
    });
    return { addresses: [simulator.url], close: () => simulator.close() };
  },
};

function templateOf(given: string): { name: string; capacity?: number } {
  const { name, size } = sizedOf("template", given);
  return { name, ...defined("capacity", size) };
}

function clientOf(given: string): { id: number; dir?: string } {
  const [, id, dir] = /^([1-9][0-9]{0,3})(?::([A-Za-z0-9_.-]+))?$/.exec(given) ?? [];
  if (!id) throw fail("invalid", `--client '${given}' is not ID or ID:NODE`);
  return { id: Number(id), ...defined("dir", dir) };
}

function foreignOf(given: string | undefined): { loc: string; storage: string } | undefined {
  if (given === undefined) return undefined;
  const [loc, storage] = given.split(":");
  if (!loc || !storage) throw fail("invalid", `--foreign '${given}' is not LOC:STORAGE`);
  return { loc, storage };
}
