// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";
import type { Context } from "../context.js";
import { fail } from "../errors.js";
import type { Call } from "./call.js";
import type { Transport } from "./transport.js";

/** What all requests of an array have in common: queries and decoding. */
export abstract class JsonApi<C extends Call, Said> {
  /** The array, as texts name it. */
  protected abstract readonly array: string;

  constructor(readonly transport: Transport<C, Said>) {}

  /** True for an answer of the array that says that there is no such object. */
  protected abstract isAbsent(error: unknown): boolean;

  /** Sends a request; gives the data of its reply. */
  protected abstract query(ctx: Context, call: Call): Promise<unknown>;

  /** Asks for something. */
  async get<T extends z.ZodType>(
    ctx: Context,
    what: string,
    path: string,
    schema: T,
    how: Pick<Call, "probe"> = {},
  ): Promise<z.output<T>> {
    const data = await this.query(ctx, { what, method: "GET", path, repeat: "repeatable", ...how });
    return this.decode(what, schema, data);
  }

  /** The same; undefined when the array says that there is none. */
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
      if (this.isAbsent(error)) return undefined;
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

  /** Makes what came in the shape that is expected. @throws `internal` */
  decode<T extends z.ZodType>(what: string, schema: T, data: unknown): z.output<T> {
    const result = schema.safeParse(data);
    if (result.success) return result.data;
    const [issue] = result.error.issues;
    // Only the place is told: values may be anything.
    throw fail(
      "internal",
      `${what}: ${this.array}'s answer lacks '${issue?.path.join(".") ?? ""}'; update pve-blockio`,
    );
  }
}
