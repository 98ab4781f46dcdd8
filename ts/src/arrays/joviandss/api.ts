// SPDX-License-Identifier: AGPL-3.0-or-later
import type * as z from "zod";
import type { Context } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import { JovianError, means } from "./answer.js";
import { type Call, entriesOf } from "./call.js";
import type { Transport } from "./transport.js";

/** Rows of one page; more pages than `mostPages` is an array that counts wrongly. */
const pageRows = 100;
const mostPages = 10_000;

/** What all requests of one pool have in common: paths, decoding, pages, and errors that need a second look. */
export class Api {
  constructor(
    readonly transport: Transport,
    readonly pool: string,
  ) {}

  /** A path below the pool. */
  path(...parts: readonly string[]): string {
    return ["pools", this.pool, ...parts].join("/");
  }

  /**
   * Sends a request. An error that says that something is missing, but not what, is settled by a look at the pool: while
   * that is there, it is the object.
   */
  async send(ctx: Context, call: Call): Promise<unknown> {
    try {
      return await this.transport.call(ctx, call);
    } catch (error) {
      if (!means(error, "unclear")) throw error;
      const what = `${call.what}: look at pool '${this.pool}'`;
      await this.transport.call(ctx, { what, method: "GET", path: this.path(), repeat: "repeatable" });
      throw new JovianError("absent", error.message, "absent", undefined, error.afterLost);
    }
  }

  /** Asks for one object. */
  async get<T extends z.ZodType>(
    ctx: Context,
    what: string,
    path: string,
    schema: T,
    how: Pick<Call, "probe"> = {},
  ): Promise<z.output<T>> {
    const data = await this.send(ctx, { what, method: "GET", path, repeat: "repeatable", ...how });
    return this.decode(what, schema, data);
  }

  /** The same; undefined when the array says that there is none. */
  async find<T extends z.ZodType>(
    ctx: Context,
    what: string,
    path: string,
    schema: T,
  ): Promise<z.output<T> | undefined> {
    try {
      return await this.get(ctx, what, path, schema);
    } catch (error) {
      if (means(error, "absent")) return undefined;
      throw error;
    }
  }

  /** A list without pages. A row that cannot be read fails it: guards rest on lists. */
  async list<T extends z.ZodType>(
    ctx: Context,
    what: string,
    path: string,
    schema: T,
    how: Pick<Call, "probe"> = {},
  ): Promise<z.output<T>[]> {
    const data = await this.send(ctx, {
      what,
      method: "GET",
      path,
      repeat: "repeatable",
      gives: "list",
      ...how,
    });
    return (entriesOf(data) ?? []).map((row) => this.decode(what, schema, row));
  }

  /**
   * The rows of a list with pages, each name once: rows move between pages while others change the list. What `results`
   * says is not looked at, it is wrong under load.
   */
  async pages(ctx: Context, what: string, path: string): Promise<unknown[]> {
    const rows = new Map<string, unknown>();
    let unnamed = 0;
    let before = "";
    for (let page = 0; page < mostPages; page++) {
      const data = await this.send(ctx, {
        what,
        method: "GET",
        path: `${path}?page=${page}&per_page=${pageRows}`,
        repeat: "repeatable",
        gives: "list",
      });
      const entries = entriesOf(data) ?? [];
      for (const row of entries) rows.set(keyOf(row) ?? `\n${unnamed++}`, row);
      const shown = entries.map(keyOf).join("\n");
      // Without pages it is everything, and some arrays answer every page with the first.
      if (entries.length === 0 || Array.isArray(data) || (shown === before && shown !== ""))
        return [...rows.values()];
      before = shown;
    }
    throw fail("internal", `${what}: JovianDSS has no last page; look at its list`);
  }

  /** Makes what came in the shape that is expected. @throws `internal` */
  decode<T extends z.ZodType>(what: string, schema: T, data: unknown): z.output<T> {
    const result = schema.safeParse(data);
    if (result.success) return result.data;
    const [issue] = result.error.issues;
    // Only the place is told: values may be anything.
    throw fail(
      "internal",
      `${what}: JovianDSS's answer lacks '${issue?.path.join(".") ?? ""}'; update pve-blockio`,
    );
  }
}

/** What tells rows of a list apart: snapshots of a pool have the volume besides. */
function keyOf(row: unknown): string | undefined {
  const { name, volume } = (row ?? {}) as { name?: unknown; volume?: unknown };
  return typeof name === "string" ? `${typeof volume === "string" ? volume : ""}@${name}` : undefined;
}
