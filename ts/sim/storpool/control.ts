// SPDX-License-Identifier: AGPL-3.0-or-later
import type { IncomingMessage } from "node:http";
import * as z from "zod";
import { type Answer, json } from "../common/exchange.js";
import type { BehaviourChange } from "./behaviour.js";
import { bodyOf } from "./exchange.js";
import { faultPlanSchema, faultSchema } from "./faults.js";
import type { StorPoolSimulator } from "./simulator.js";
import { listedName } from "./state.js";

const faultsBody = z.strictObject({
  /** Faults for requests to come. */
  inject: z.array(faultSchema).default([]),
  plan: faultPlanSchema.optional(),
  clear: z.boolean().default(false),
  /** Refuses connections for so many milliseconds, after the answer. */
  refuseMs: z.number().int().min(1).optional(),
});

const clientBody = z.strictObject({ status: z.enum(["up", "down"]) });

/** Answers a request below `/sim/`: tests in another process control the simulator with it. */
export async function control(
  simulator: StorPoolSimulator,
  verb: string,
  path: string,
  request: IncomingMessage,
): Promise<Answer> {
  try {
    const [what, argument] = path.split("/");
    const body = await bodyOf(request);
    switch (`${verb} ${what}`) {
      case "GET state":
        return json(200, shown(simulator));
      case "GET check":
        return json(200, simulator.check());
      case "GET journal":
        return json(200, simulator.journal.entries);
      case "POST faults":
        return changeFaults(simulator, faultsBody.parse(body ?? {}));
      case "POST behaviour":
        simulator.configure((body ?? {}) as BehaviourChange);
        return json(200, simulator.behaviour);
      case "POST clients": {
        const { status } = clientBody.parse(body);
        await simulator.setClient(Number(argument), status === "up" ? "running" : "down");
        return json(200, { ok: true });
      }
      default:
        return json(404, { error: `no such request: ${verb} /sim/${path}` });
    }
  } catch (error) {
    return json(400, { error: error instanceof Error ? error.message : String(error) });
  }
}

function changeFaults(simulator: StorPoolSimulator, given: z.output<typeof faultsBody>): Answer {
  if (given.clear) simulator.faults.clear();
  for (const fault of given.inject) simulator.inject(fault);
  if (given.plan) simulator.faults.plan(given.plan);
  const { refuseMs } = given;
  if (refuseMs !== undefined) setTimeout(() => void simulator.refuseConnections(refuseMs), 20);
  return json(200, { pending: simulator.faults.pending });
}

/** State without references between objects. */
function shown({ state, behaviour, faults }: StorPoolSimulator): unknown {
  return {
    generation: state.generation,
    templates: [...state.templates.values()],
    clients: [...state.clients.values()],
    objects: [...state.objects.values()].map((object) => ({
      ...object,
      name: listedName(object),
      parent: object.parent?.globalId ?? null,
    })),
    attachments: state.attachments.map(({ object, ...row }) => ({ globalId: object.globalId, ...row })),
    behaviour,
    pendingFaults: faults.pending,
  };
}
