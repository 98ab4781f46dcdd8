// SPDX-License-Identifier: AGPL-3.0-or-later
import type * as z from "zod";
import type { Context } from "../common/context.js";
import type { Logger } from "../common/log.js";
import type { Storage } from "../plugin/storage.js";
import type { Leases } from "../plugin/stream.js";

/** What a handler gets besides its arguments. */
export interface Call {
  readonly ctx: Context;
  /** What the calling connection holds. */
  readonly leases: Leases;
}

interface MethodSpec<Args extends z.ZodType, Result extends z.ZodType> {
  /** Schema of the arguments, incoming. */
  readonly args: Args;
  /** Schema of the result, outgoing; its transforms make sizes strings. */
  readonly result: Result;
  /** Time limit when the client names none, in milliseconds. */
  readonly deadlineMs: number;
  /**
   * Can do nothing without the array. PVE has just asked it: where its silence did not keep PVE from using the storage, this
   * call does not wait for it once more.
   */
  readonly needsArray?: true;
  /** The guests to lock while the handler runs; none for calls that only read. */
  readonly guests?: (storage: Storage, args: z.output<Args>, call: Pick<Call, "leases">) => readonly number[];
  readonly run: (storage: Storage, args: z.output<Args>, call: Call) => Promise<z.input<Result>>;
  /**
   * The answer when the array gave none, or none within the deadline: for `unreachable` and `timeout`. Throws what is to be
   * the answer otherwise.
   */
  readonly unanswered?: (storage: Storage, error: unknown, log: Logger) => z.input<Result>;
}

/** A method with its types folded away: unknown in, unknown out, checked on both sides. */
export interface Method {
  readonly deadlineMs: number;
  /** Locks no guest: changes nothing that another service would have to know of. */
  readonly locksNothing: boolean;
  /** Throws zod's error for malformed arguments. */
  readonly prepare: (rawArgs: unknown) => {
    guests: (storage: Storage, call: Pick<Call, "leases">) => readonly number[];
    run: (storage: Storage, call: Call) => Promise<unknown>;
    /** Throws `error` when silence has no answer of its own. */
    unanswered: (storage: Storage, error: unknown, log: Logger) => unknown;
  };
}

/** Describes one method of the bridge: schema in, handler, schema out. */
export function method<Args extends z.ZodType, Result extends z.ZodType>(
  spec: MethodSpec<Args, Result>,
): Method {
  return {
    deadlineMs: spec.deadlineMs,
    locksNothing: spec.guests === undefined,
    prepare: (rawArgs) => {
      const args = spec.args.parse(rawArgs);
      return {
        guests: (storage, call) => spec.guests?.(storage, args, call) ?? [],
        run: async (storage, call) => {
          if (spec.needsArray) storage.silence.throwIfKnown();
          return spec.result.parse(await spec.run(storage, args, call));
        },
        unanswered: (storage, error, log) => {
          if (!spec.unanswered) throw error;
          return spec.result.parse(spec.unanswered(storage, error, log));
        },
      };
    },
  };
}
