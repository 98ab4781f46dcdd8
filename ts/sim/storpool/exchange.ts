// SPDX-License-Identifier: AGPL-3.0-or-later
import type { IncomingMessage } from "node:http";
import { type Answer, bodyText, json, text } from "../common/exchange.js";
import type { Behaviour } from "./behaviour.js";
import { type Refusal, refuse } from "./refusal.js";

/** The answer to a request that succeeded. */
export function success(data: unknown, generation: number): Answer {
  return json(200, { generation, data });
}

/** The answer to a refused request, by the transport that the switch says. */
export function failure(refusal: Refusal, generation: number, behaviour: Behaviour): Answer {
  const { refusal: name, message: descr, transient, status } = refusal;
  if (behaviour.errorTransport === "status-text") return text(status, `${status} the service has refused\n`);
  const error = { name, descr, transient };
  return json(behaviour.errorTransport === "ok-json" ? 200 : status, { error, generation });
}

/** The JSON that was sent; undefined for nothing. Throws when it is none, or too large. */
export async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const words = await bodyText(request);
  if (words === undefined) throw refuse("invalidParam", "the body is too large");
  return words === "" ? undefined : parsed(words);
}

/** JSON, or `invalidParam`. */
export function parsed(words: string): unknown {
  try {
    return JSON.parse(words);
  } catch {
    throw refuse("invalidParam", "the body is no JSON");
  }
}
