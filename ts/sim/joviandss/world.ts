// SPDX-License-Identifier: AGPL-3.0-or-later
import type * as z from "zod";
import type { DataFiles } from "../common/files.js";
import type { Behaviour } from "./behaviour.js";
import type { FaultKind } from "./faults.js";
import { refuse } from "./refusal.js";
import type { ArrayState, Pool, Session, Target } from "./state.js";

/** What the requests work on. */
export interface World {
  readonly state: ArrayState;
  /** Replaced as a whole when a switch is changed. */
  readonly behaviour: Behaviour;
  /** Data of the objects; undefined in memory. */
  readonly files: DataFiles | undefined;
  /** Milliseconds since 1970. */
  now(): number;
  /** Numbers that were never used: `id` for files, `txg` for the order of creation, `guid` and `volumeId`. */
  identity(): { id: number; txg: number; guid: string; volumeId: string };
  /** A target has changed, or is gone: the exporter is told before the answer goes out. */
  touched(pool: Pool, target: Target): void;
  sessions(target: Target): Promise<readonly Session[]>;
}

/** A request, taken apart. */
export interface Ask {
  /** The pool of the path; what is not in a pool has none to look at. */
  readonly pool: Pool;
  /** Parts of the path by the names in the route. */
  readonly at: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** The document that was sent; an empty object for none. */
  readonly body: unknown;
  /** `v3` or `v4`. */
  readonly version: string;
  /** Faults that change what the request does or answers. */
  has(kind: FaultKind): boolean;
}

/** What a request answers. Without data and with status 204 there is no body at all. */
export interface Result {
  readonly status: number;
  readonly data: unknown;
}

export type Handler = (world: World, ask: Ask) => Result | Promise<Result>;

export function ok(data: unknown): Result {
  return { status: 200, data };
}

/** The answer to a creation. */
export function created({ behaviour }: World, data: unknown): Result {
  return { status: behaviour.created, data };
}

/** The answer to any other change. */
export function changed({ behaviour }: World): Result {
  return { status: behaviour.changed, data: null };
}

/** A document as a request needs it; refused like the array does otherwise. */
export function parsed<T extends z.ZodType>({ behaviour }: World, schema: T, body: unknown): z.output<T> {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const foreign = result.error.issues.flatMap((issue) =>
    issue.code === "unrecognized_keys" && issue.path.length === 0 ? issue.keys : [],
  );
  if (!behaviour.strictBodies && foreign.length > 0) {
    const known = Object.entries(body as object).filter(([key]) => !foreign.includes(key));
    if (known.length < Object.keys(body as object).length)
      return parsed({ behaviour } as World, schema, Object.fromEntries(known));
  }
  if (foreign[0] !== undefined) throw refuse.tooNew(foreign[0]);
  const [issue] = result.error.issues;
  throw refuse.invalid(`${issue?.path.join(".") ?? ""}: ${issue?.message ?? "invalid"}`);
}
