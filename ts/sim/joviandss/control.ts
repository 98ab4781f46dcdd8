// SPDX-License-Identifier: AGPL-3.0-or-later
import type { IncomingMessage } from "node:http";
import * as z from "zod";
import { answerFirstMs, control as commonControl } from "../common/control.js";
import type { Answer } from "../common/exchange.js";
import { faultPlanSchema, faultSchema } from "./faults.js";
import { InitiatorError, wantedSchema } from "./initiators.js";
import type { JovianSimulator } from "./simulator.js";

const addressBody = z.strictObject({
  state: z.enum(["open", "standby", "refusing", "mute"]),
  forMs: z.number().int().min(1).optional(),
});

const failoverBody = z.strictObject({
  to: z.array(z.string()).optional(),
  afterMs: z.number().int().min(0),
});

/** Answers a request below `/sim/`: tests in another process control the simulator with it. */
export function control(
  simulator: JovianSimulator,
  verb: string,
  path: string,
  request: IncomingMessage,
): Promise<Answer> {
  const own = (what: string, [argument = "", verbOf = ""]: readonly string[], body: unknown) => {
    switch (what) {
      case "POST addresses": {
        const { state, forMs } = addressBody.parse(body);
        if (!simulator.addresses.includes(argument)) throw new Error(`no address '${argument}'`);
        setTimeout(() => void simulator.setAddress(argument, state, forMs), answerFirstMs);
        return Promise.resolve({ ok: true });
      }
      case "POST failover": {
        const { to, afterMs } = failoverBody.parse(body);
        setTimeout(() => void simulator.failover({ ...(to ? { to } : {}), afterMs }), answerFirstMs);
        return Promise.resolve({ ok: true });
      }
      case "POST initiators":
        return tellInitiator(simulator, argument, verbOf, body).catch((error) => {
          // What an initiator fails with is its answer.
          if (error instanceof InitiatorError) return { code: error.code, message: error.message };
          throw error;
        });
      default:
        return undefined;
    }
  };
  const parts = { order: faultSchema, plan: faultPlanSchema, shown: () => shown(simulator), own };
  return commonControl(simulator, parts, { verb, path, request });
}

async function tellInitiator(
  simulator: JovianSimulator,
  name: string,
  verb: string,
  body: unknown,
): Promise<unknown> {
  const initiator = simulator.initiator(name);
  if (verb === "die") {
    await initiator.die();
    simulator.dropSessions(name);
    return {};
  }
  const wanted = wantedSchema.parse(body);
  if (verb === "connect") return { device: await initiator.connect(wanted) };
  if (verb === "disconnect") await initiator.disconnect(wanted);
  else if (verb === "refresh") await initiator.refresh(wanted);
  else throw new Error(`no verb '${verb}' of an initiator`);
  return {};
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
