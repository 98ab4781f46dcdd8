// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";
import type { Context } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import { type Entry, means } from "./answer.js";
import type { Call } from "./call.js";
import type { Transport } from "./transport.js";

/** What all requests have in common: paths and decoding. */
export class Api {
  constructor(readonly transport: Transport) {}

  /** Asks for something. */
  async get<T extends z.ZodType>(
    ctx: Context,
    what: string,
    path: string,
    schema: T,
    how: Pick<Call, "probe"> = {},
  ): Promise<z.output<T>> {
    const data = await this.transport.call(ctx, { what, method: "GET", path, repeat: "repeatable", ...how });
    return this.decode(what, schema, data);
  }

  /** The same; undefined when LINSTOR says that there is none. */
  async find<T extends z.ZodType>(
    ctx: Context,
    what: string,
    path: string,
    schema: T,
    how: Pick<Call, "probe"> = {},
  ): Promise<z.output<T> | undefined> {
    try {
      return await this.get(ctx, what, path, schema, how);
    } catch (error) {
      if (means(error, "absent")) return undefined;
      throw error;
    }
  }

  /** A list. A row that cannot be read fails it: guards rest on lists. */
  async list<T extends z.ZodType>(
    ctx: Context,
    what: string,
    path: string,
    schema: T,
    how: Pick<Call, "probe"> = {},
  ): Promise<z.output<T>[]> {
    return this.get(ctx, what, path, z.array(schema), how);
  }

  /** Sends a change; gives the entries of its reply, none when an attempt without reply has worked. */
  async change(ctx: Context, call: Call): Promise<Entry[]> {
    const data = await this.transport.call(ctx, call);
    // What the transport gives for a change has been decoded there.
    return Array.isArray(data) ? (data as Entry[]) : [];
  }

  /** Makes what came in the shape that is expected. @throws `internal` */
  decode<T extends z.ZodType>(what: string, schema: T, data: unknown): z.output<T> {
    const result = schema.safeParse(data);
    if (result.success) return result.data;
    const [issue] = result.error.issues;
    // Only the place is told: values may be anything.
    throw fail(
      "internal",
      `${what}: LINSTOR's answer lacks '${issue?.path.join(".") ?? ""}'; update pve-blockio`,
    );
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
