// SPDX-License-Identifier: AGPL-3.0-or-later
import type { IncomingMessage } from "node:http";
import * as z from "zod";
import { type Answer, bodyText, json } from "./exchange.js";
import type { Journal } from "./journal.js";

/** What every simulator lets tests in other processes do. */
export interface Controllable<Change, Order, Plan> {
  readonly journal: Journal;
  readonly behaviour: unknown;
  readonly faults: { readonly pending: readonly unknown[]; clear(): void; plan(plan: Plan): void };
  check(): string[];
  configure(change: Change): void;
  inject(order: Order): void;
}

/** What one simulator has besides; undefined for requests that it does not know. */
export type OwnRequests = (
  request: string,
  argument: readonly string[],
  body: unknown,
) => Promise<unknown> | undefined;

/** Thrown for an answer that is no refusal of the request: what somebody simulated fails with. */
export class SimulatedFailure extends Error {
  constructor(readonly answer: unknown) {
    super("simulated");
  }
}

/** The answer must be out before what gives it is shut. */
export const answerFirstMs = 20;

/**
 * Answers a request below `/sim/`: state, check and journal, faults and switches, and what the simulator has of its own
 * (`VERB NAME`, further parts of the path, the body).
 */
export async function control<Change, Order extends z.ZodType, Plan extends z.ZodType>(
  simulator: Controllable<Change, z.input<Order>, z.input<Plan>>,
  { order, plan, shown, own }: { order: Order; plan: Plan; shown: () => unknown; own: OwnRequests },
  { verb, path, request }: { verb: string; path: string; request: IncomingMessage },
): Promise<Answer> {
  const faultsBody = z.looseObject({
    /** Faults for requests to come. */
    inject: z.array(order).default([]),
    plan: plan.optional(),
    clear: z.boolean().default(false),
  });
  try {
    const [what = "", ...rest] = path.split("/").map(decodeURIComponent);
    const words = await bodyText(request);
    const body: unknown = words === undefined || words === "" ? {} : JSON.parse(words);
    const answer = own(`${verb} ${what}`, rest, body);
    if (answer !== undefined) return json(200, await answer);
    switch (`${verb} ${what}`) {
      case "GET state":
        return json(200, shown());
      case "GET check":
        return json(200, simulator.check());
      case "GET journal":
        return json(200, simulator.journal.entries);
      case "POST faults": {
        const given = faultsBody.parse(body);
        if (given.clear) simulator.faults.clear();
        for (const fault of given.inject) simulator.inject(fault as z.input<Order>);
        if (given.plan !== undefined) simulator.faults.plan(given.plan as z.input<Plan>);
        return json(200, { pending: simulator.faults.pending });
      }
      case "POST behaviour":
        simulator.configure(body as Change);
        return json(200, simulator.behaviour);
      default:
        return json(404, { error: `no such request: ${verb} /sim/${path}` });
    }
  } catch (error) {
    if (error instanceof SimulatedFailure) return json(200, error.answer);
    return json(400, { error: error instanceof Error ? error.message : String(error) });
  }
}
