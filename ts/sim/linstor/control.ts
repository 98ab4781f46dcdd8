// SPDX-License-Identifier: AGPL-3.0-or-later
import type { IncomingMessage } from "node:http";
import * as z from "zod";
import { answerFirstMs, control as commonControl } from "../common/control.js";
import type { Answer } from "../common/exchange.js";
import { faultPlanSchema, faultSchema } from "./faults.js";
import type { LinstorSimulator } from "./simulator.js";

const nodeBody = z.strictObject({
  online: z.boolean().optional(),
  /** DRBD there reaches its peers; as `online` when absent. */
  linked: z.boolean().optional(),
  flags: z.array(z.enum(["EVICTED", "EVACUATE"])).optional(),
  /** Online again after so many milliseconds. */
  forMs: z.number().int().min(1).optional(),
});

const controllerBody = z.strictObject({
  active: z.string().nullable(),
  afterMs: z.number().int().min(0).default(0),
});

const openBody = z.strictObject({
  node: z.string(),
  resource: z.string(),
  as: z.enum(["closed", "read", "write"]),
});

/** Answers a request below `/sim/`: tests in another process control the simulator with it. */
export function control(
  simulator: LinstorSimulator,
  verb: string,
  path: string,
  request: IncomingMessage,
): Promise<Answer> {
  const own = (what: string, [argument = ""]: readonly string[], body: unknown) => {
    switch (what) {
      case "GET idle":
        return Promise.resolve(simulator.idle());
      case "POST hurry":
        return simulator.hurry().then(() => ({ ok: true }));
      case "POST nodes":
        return changeNode(simulator, argument, nodeBody.parse(body));
      case "POST controllers": {
        const { active, afterMs } = controllerBody.parse(body);
        if (active !== null) simulator.requireController(active);
        setTimeout(() => void simulator.failover(active, afterMs), answerFirstMs);
        return Promise.resolve({ ok: true });
      }
      case "POST open": {
        const { node, resource, as } = openBody.parse(body);
        simulator.setOpen(node, resource, as);
        return Promise.resolve({ ok: true });
      }
      default:
        return undefined;
    }
  };
  const shown = () => shownState(simulator);
  const parts = { order: faultSchema, plan: faultPlanSchema, shown, own };
  return commonControl(simulator, parts, { verb, path, request });
}

async function changeNode(
  simulator: LinstorSimulator,
  name: string,
  { online, linked, flags, forMs }: z.output<typeof nodeBody>,
): Promise<unknown> {
  const node = simulator.state.node(name);
  if (flags) {
    node.flags.clear();
    for (const flag of flags) node.flags.add(flag);
  }
  if (online !== undefined) await simulator.setNode(name, online, forMs, linked);
  return { name: node.name, online: node.online, flags: [...node.flags] };
}

/** State without references between objects. */
function shownState({ state, behaviour, faults, activeController }: LinstorSimulator): unknown {
  return {
    activeController: activeController ?? null,
    nodes: state.nodes.values().map(({ name, dir, online, flags, pools }) => ({
      name,
      dir,
      online,
      flags: [...flags],
      pools: pools.values().map((pool) => ({ name: pool.name, kind: pool.kind, capacity: pool.capacity })),
    })),
    groups: state.groups.values(),
    definitions: state.definitions.values().map((definition) => ({
      name: definition.name,
      externalName: definition.externalName ?? null,
      group: definition.group.name,
      props: definition.props,
      layers: definition.layers,
      deleting: definition.deleting,
      cloning: definition.cloning,
      volumes: [...definition.volumes.values()],
      connections: Object.fromEntries(definition.connections),
      resources: definition.resources.values().map(({ node, kind, deleting, volumes, said, client }) => ({
        node: node.name,
        kind,
        client,
        deleting,
        said,
        volumes: [...volumes.values()].map(({ pool, ...volume }) => ({
          ...volume,
          pool: pool?.name ?? null,
        })),
      })),
      snapshots: definition.snapshots.values().map(({ name, sequence, flags, props, instances, sizes }) => ({
        name,
        sequence,
        flags,
        props,
        sizes: Object.fromEntries(sizes),
        nodes: instances.values().map(({ node }) => node.name),
      })),
    })),
    behaviour,
    pendingFaults: faults.pending,
  };
}
