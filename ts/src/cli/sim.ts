// SPDX-License-Identifier: AGPL-3.0-or-later
import type * as z from "zod";
import { fail } from "../common/errors.js";
import { bytesOf, type Command, text, texts, type Values } from "./options.js";
import { print } from "./output.js";

/** Simulators of arrays, for tests and demonstrations without the array. */
export const sim: Command = {
  name: "sim",
  operands: "storpool [OPTION...]",
  summary: "Run a simulated array.",
  details:
    "Prints its address when it listens, and ends on a signal. Without --data there\nare only records of objects; with --devices (root) clients get devices as well.",
  hidden: true,
  options: {
    listen: { type: "string", value: "HOST:PORT", help: "listen here (default 127.0.0.1:0, a free port)" },
    token: { type: "string", value: "TOKEN", help: "expect this token (default $SP_AUTH_TOKEN)" },
    data: { type: "string", value: "DIR", help: "keep the objects' data in files here" },
    devices: { type: "string", value: "DIR", help: "make DIR/NODE/storpool-byid/GLOBALID" },
    template: { type: "string", value: "NAME[:BYTES]", multiple: true, help: "a template (default nvme)" },
    client: { type: "string", value: "ID[:NODE]", multiple: true, help: "a client (default 11 and 12)" },
    "cluster-id": { type: "string", value: "ID", help: "begin global ids with this (default nzkr.b)" },
    foreign: { type: "string", value: "LOC:STORAGE", help: "add objects that are not of this storage" },
    set: { type: "string", value: "NAME=VALUE", multiple: true, help: "change a switch; values are JSON" },
    fault: { type: "string", value: "NAME=NUMBER", multiple: true, help: "probability of a fault" },
    seed: { type: "string", value: "NUMBER", help: "seed of the faults (default 1)" },
    control: { type: "boolean", help: "answer requests below /sim/" },
  },
  async run(values, operands) {
    if (operands.length !== 1 || operands[0] !== "storpool")
      throw fail("invalid", "name one simulator: storpool; see pve-blockio sim --help");
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
      seed: seedOf(text(values, "seed") ?? "1"),
      control: values["control"] === true,
    });
    try {
      const stopped = new Promise<void>((resolve) => {
        for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.once(signal, () => resolve());
      });
      print(`${simulator.url}\n`);
      await stopped;
    } finally {
      await simulator.close();
    }
    return 0;
  },
};

function listenOf(values: Values): { host: string; port: number } {
  const given = text(values, "listen") ?? "127.0.0.1:0";
  const [, host, port] = /^(.+):([0-9]{1,5})$/.exec(given) ?? [];
  if (!host || !port) throw fail("invalid", `--listen '${given}' is not HOST:PORT`);
  return { host, port: Number(port) };
}

function templateOf(given: string): { name: string; capacity?: number } {
  const [, name, size] = /^([A-Za-z0-9_-]+)(?::(.+))?$/.exec(given) ?? [];
  if (!name) throw fail("invalid", `--template '${given}' is not NAME or NAME:BYTES`);
  return size === undefined ? { name } : { name, capacity: Number(bytesOf("template", size)) };
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

function seedOf(given: string): number {
  if (!/^[0-9]{1,9}$/.test(given)) throw fail("invalid", `--seed '${given}' is not a number`);
  return Number(given);
}

/** NAME=VALUE options as a schema wants them; a value that is no JSON is a string. */
function pairs<T extends z.ZodType>(values: Values, option: string, schema: T): z.output<T> {
  const given = texts(values, option).map((pair) => {
    const at = pair.indexOf("=");
    if (at < 1) throw fail("invalid", `--${option} '${pair}' is not NAME=VALUE`);
    return [pair.slice(0, at), jsonOf(pair.slice(at + 1))];
  });
  const result = schema.safeParse(Object.fromEntries(given));
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw fail("invalid", `--${option} ${issue?.path.join(".") ?? ""}: ${issue?.message}`);
}

function jsonOf(given: string): unknown {
  try {
    return JSON.parse(given);
  } catch {
    return given;
  }
}

function some<T>(list: readonly T[]): readonly T[] | undefined {
  return list.length > 0 ? list : undefined;
}

/** An object with a member, or without when there is no value. */
function defined<K extends string, V>(name: K, value: V | undefined): { [P in K]?: V } {
  return value === undefined ? {} : ({ [name]: value } as { [P in K]?: V });
}
