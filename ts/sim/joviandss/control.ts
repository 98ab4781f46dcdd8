// SPDX-License-Identifier: AGPL-3.0-or-later
import type { IncomingMessage } from "node:http";
import * as z from "zod";
import { type Answer, json } from "../common/exchange.js";
import type { BehaviourChange } from "./behaviour.js";
import { bodyOf } from "./exchange.js";
import { faultPlanSchema, faultSchema } from "./faults.js";
import { InitiatorError, wantedSchema } from "./initiators.js";
import type { JovianSimulator } from "./simulator.js";

const faultsBody = z.strictObject({
  /** Faults for requests to come. */
  inject: z.array(faultSchema).default([]),
  plan: faultPlanSchema.optional(),
  clear: z.boolean().default(false),
});

const addressBody = z.strictObject({
  state: z.enum(["open", "standby", "refusing", "mute"]),
  forMs: z.number().int().min(1).optional(),
});

const failoverBody = z.strictObject({
  to: z.array(z.string()).optional(),
  afterMs: z.number().int().min(0),
});

/** The answer must be out before the address that gives it is shut. */
const answerFirstMs = 20;

/** Answers a request below `/sim/`: tests in another process control the simulator with it. */
export async function control(
  simulator: JovianSimulator,
  verb: string,
  path: string,
  request: IncomingMessage,
): Promise<Answer> {
  try {
    const [what, argument = "", verbOf = ""] = path.split("/").map(decodeURIComponent);
    const body = await bodyOf(request);
    switch (`${verb} ${what}`) {
      case "GET state":
        return json(200, shown(simulator));
      case "GET check":
        return json(200, simulator.check());
      case "GET journal":
        return json(200, simulator.journal.entries);
      case "POST faults": {
        const { inject, plan, clear } = faultsBody.parse(body);
        if (clear) simulator.faults.clear();
        for (const fault of inject) simulator.inject(fault);
        if (plan) simulator.faults.plan(plan);
        return json(200, { pending: simulator.faults.pending });
      }
      case "POST behaviour":
        simulator.configure(body as BehaviourChange);
        return json(200, simulator.behaviour);
      case "POST addresses": {
        const { state, forMs } = addressBody.parse(body);
        if (!simulator.addresses.includes(argument)) throw new Error(`no address '${argument}'`);
        setTimeout(() => void simulator.setAddress(argument, state, forMs), answerFirstMs);
        return json(200, { ok: true });
      }
      case "POST failover": {
        const { to, afterMs } = failoverBody.parse(body);
        setTimeout(() => void simulator.failover({ ...(to ? { to } : {}), afterMs }), answerFirstMs);
        return json(200, { ok: true });
      }
      case "POST initiators": {
        const initiator = simulator.initiator(argument);
        const wanted = wantedSchema.parse(body);
        if (verbOf === "connect") return json(200, { device: await initiator.connect(wanted) });
        if (verbOf === "disconnect") await initiator.disconnect(wanted);
        else if (verbOf === "refresh") await initiator.refresh(wanted);
        else throw new Error(`no verb '${verbOf}' of an initiator`);
        return json(200, {});
      }
      default:
        return json(404, { error: `no such request: ${verb} /sim/${path}` });
    }
  } catch (error) {
    // What an initiator fails with is its answer.
    if (error instanceof InitiatorError) return json(200, { code: error.code, message: error.message });
    return json(400, { error: error instanceof Error ? error.message : String(error) });
  }
}

/** State without references between objects, and without secrets. */
function shown({ state, behaviour, faults }: JovianSimulator): unknown {
  const pools = [...state.pools.values()].map((pool) => ({
    name: pool.name,
    size: pool.size,
    vips: pool.vips,
    volumes: [...pool.volumes.values()].map(({ origin, properties, ...volume }) => ({
      ...volume,
      properties: Object.fromEntries(properties),
      origin: origin ? `${origin.volume.name}@${origin.name}` : null,
    })),
    snapshots: [...pool.snapshots].map(({ volume, ...snapshot }) => ({ ...snapshot, volume: volume.name })),
    datasets: [...pool.datasets.keys()],
    targets: [...pool.targets.values()].map((target) => ({
      ...target,
      users: [...target.users.keys()],
      luns: [...target.luns.values()].map(({ volume, ...lun }) => ({ ...lun, id: volume.id })),
    })),
  }));
  return { pools, shares: [...state.shares.values()], behaviour, pendingFaults: faults.pending };
}
