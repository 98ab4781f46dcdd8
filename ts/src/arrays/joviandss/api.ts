// SPDX-License-Identifier: AGPL-3.0-or-later
import type * as z from "zod";
import type { Context } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import type { Call } from "../../common/http/call.js";
import { JsonApi } from "../../common/http/json-api.js";
import type { Transport } from "../../common/http/transport.js";
import { type ArrayAnswer, JovianError, means } from "./answer.js";
import { entriesOf, type JovianCall } from "./call.js";

/** Rows of one page; more pages than `mostPages` is an array that counts wrongly. */
const pageRows = 100;
const mostPages = 10_000;

/** What all requests of one pool have in common: paths, decoding, pages, and errors that need a second look. */
export class Api extends JsonApi<JovianCall, ArrayAnswer> {
  protected readonly array = "JovianDSS";

  constructor(
    transport: Transport<JovianCall, ArrayAnswer>,
    readonly pool: string,
  ) {
    super(transport);
  }

  /** A path below the pool. */
  path(...parts: readonly string[]): string {
    return ["pools", this.pool, ...parts].join("/");
  }

  /**
   * Sends a request. An error that says that something is missing, but not what, is settled by a look at the pool: while
   * that is there, it is the object.
   */
  async send(ctx: Context, call: JovianCall): Promise<unknown> {
    try {
      return await this.transport.call(ctx, call);
    } catch (error) {
      if (!means(error, "unclear")) throw error;
      const what = `${call.what}: look at pool '${this.pool}'`;
      await this.transport.call(ctx, { what, method: "GET", path: this.path(), repeat: "repeatable" });
      throw new JovianError("absent", error.message, "absent", undefined, error.afterLost);
    }
  }

  protected override isAbsent(error: unknown): boolean {
    return means(error, "absent");
  }

  protected override query(ctx: Context, call: Call): Promise<unknown> {
    return this.send(ctx, call);
  }

  /** A list without pages. A row that cannot be read fails it: guards rest on lists. */
  override async list<T extends z.ZodType>(
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
}

/** What tells rows of a list apart: snapshots of a pool have the volume besides. */
function keyOf(row: unknown): string | undefined {
  const { name, volume } = (row ?? {}) as { name?: unknown; volume?: unknown };
  return typeof name === "string" ? `${typeof volume === "string" ? volume : ""}@${name}` : undefined;
}
