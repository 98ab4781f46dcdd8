// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import type { Call } from "../../common/http/call.js";
import { JsonApi } from "../../common/http/json-api.js";
import { type Entry, means } from "./answer.js";
import type { LinstorSaid } from "./dialect.js";

/** What all requests have in common: paths and decoding. */
export class Api extends JsonApi<Call, LinstorSaid> {
  protected readonly array = "LINSTOR";

  protected override isAbsent(error: unknown): boolean {
    return means(error, "absent");
  }

  protected override query(ctx: Context, call: Call): Promise<unknown> {
    return this.transport.call(ctx, call);
  }

  /** Sends a change; gives the entries of its reply, none when an attempt without reply has worked. */
  async change(ctx: Context, call: Call): Promise<Entry[]> {
    const data = await this.transport.call(ctx, call);
    // What the transport gives for a change has been decoded there.
    return Array.isArray(data) ? (data as Entry[]) : [];
  }
}

/** A path of encoded parts. */
export function pathOf(...parts: readonly string[]): string {
  return parts.map(encodeURIComponent).join("/");
}

/** A query string; lists repeat their key. */
export function queryOf(values: Readonly<Record<string, string | readonly string[] | undefined>>): string {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(values))
    for (const one of typeof value === "string" ? [value] : (value ?? [])) query.append(key, one);
  return query.size === 0 ? "" : `?${query}`;
}
