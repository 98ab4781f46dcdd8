// SPDX-License-Identifier: AGPL-3.0-or-later
import type { IncomingMessage } from "node:http";
import * as z from "zod";
import { control as commonControl } from "../common/control.js";
import type { Answer } from "../common/exchange.js";
import { faultPlanSchema, faultSchema } from "./faults.js";
import type { StorPoolSimulator } from "./simulator.js";
import { listedName } from "./state.js";

const clientBody = z.strictObject({ status: z.enum(["up", "down"]) });

/** Answers a request below `/sim/`: tests in another process control the simulator with it. */
export function control(
  simulator: StorPoolSimulator,
  verb: string,
  path: string,
  request: IncomingMessage,
): Promise<Answer> {
  const own = async (id: string, body: unknown) => {
    const { status } = clientBody.parse(body);
    await simulator.setClient(Number(id), status === "up" ? "running" : "down");
    return { ok: true };
  };
  return commonControl(
    simulator,
    {
      order: faultSchema,
      plan: faultPlanSchema,
      shown: () => shown(simulator),
      own: (what, [id = ""], body) => (what === "POST clients" ? own(id, body) : undefined),
    },
    { verb, path, request },
  );
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
