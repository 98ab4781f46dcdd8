// SPDX-License-Identifier: AGPL-3.0-or-later
import type { IncomingMessage } from "node:http";
import { type Answer, bodyText, json, text } from "../common/exchange.js";
import type { Behaviour } from "./behaviour.js";
import { type Refusal, refuse } from "./refusal.js";
import type { Result } from "./world.js";

/** The answer to a request that succeeded. */
export function success({ status, data }: Result): Answer {
  return status === 204 ? text(204, "") : json(status, { data, error: null });
}

/** The answer to a refused request, as complete as the switches say. */
export function failure(refusal: Refusal, url: string, behaviour: Behaviour): Answer {
  const { status, errorClass, errno, message } = refusal;
  const without = new Set<string>(behaviour.errorWithout);
  const shownErrno = errno === undefined || behaviour.errno === "absent" ? undefined : errno;
  const error = Object.entries({
    class: errorClass,
    errno: behaviour.errno === "string" ? shownErrno?.toString() : shownErrno,
    message,
    url,
  }).filter(([key, value]) => value !== undefined && !without.has(key));
  return json(status, { data: null, error: Object.fromEntries(error) });
}

/** Wrong credentials: not even JSON. */
export const unauthorized: Answer = text(401, "401 unauthorized");

/** The document that was sent; an empty object for none. */
export async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const words = await bodyText(request);
  if (words === undefined) throw refuse.invalid("the body is too large");
  if (words === "") return {};
  try {
    return JSON.parse(words);
  } catch {
    throw refuse.invalid("the body is no JSON");
  }
}

/** A request's path and query as they came: encoding matters. */
export interface Place {
  readonly version: string;
  /** Behind `/api/v4/`. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** Percent signs where the vendor's client has none. */
  readonly encoded: boolean;
}

/** Takes a URL apart; undefined for what is not the API's. */
export function placeOf(url: string): Place | undefined {
  const [path = "", query = ""] = url.split("?", 2);
  const [, version, rest] = /^\/api\/(v[0-9]+)\/(.+)$/.exec(path) ?? [];
  if (version === undefined || rest === undefined) return undefined;
  return {
    version,
    path: decoded(rest),
    query: new URLSearchParams(query),
    encoded: path.includes("%") || /(?:^|&)where=[^&]*%/.test(query),
  };
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
