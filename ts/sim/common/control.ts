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
  /** Nobody listens for so many milliseconds; absent where single addresses are controlled instead. */
  refuseConnections?(forMs: number): Promise<void>;
}

/** What one simulator has besides; undefined for requests that it does not know. */
export type OwnRequests = (
  request: string,
  argument: readonly string[],
  body: unknown,
) => Promise<unknown> | undefined;

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
  const faultsBody = z.strictObject({
    /** Faults for requests to come. */
    inject: z.array(order).default([]),
    plan: plan.optional(),
    clear: z.boolean().default(false),
    /** Refuses connections for so many milliseconds, after the answer. */
    refuseMs: z.number().int().min(1).optional(),
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
        const { refuseMs } = given;
        if (refuseMs !== undefined && !simulator.refuseConnections)
          throw new Error("refuseMs: single addresses are taken away here");
        if (given.clear) simulator.faults.clear();
        for (const fault of given.inject) simulator.inject(fault as z.input<Order>);
        if (given.plan !== undefined) simulator.faults.plan(given.plan as z.input<Plan>);
        if (refuseMs !== undefined)
          setTimeout(() => void simulator.refuseConnections?.(refuseMs), answerFirstMs);
        return json(200, { pending: simulator.faults.pending });
      }
      case "POST behaviour":
        simulator.configure(body as Change);
        return json(200, simulator.behaviour);
      default:
        return json(404, { error: `no such request: ${verb} /sim/${path}` });
    }
  } catch (error) {
    return json(400, { error: error instanceof Error ? error.message : String(error) });
  }
}
