// SPDX-License-Identifier: AGPL-3.0-or-later
import { ZodError } from "zod";
import type { Context } from "../common/context.js";
import { BlockioError, fail, isSilence, wrap } from "../common/errors.js";
import type { Logger } from "../common/log.js";
import { RequestRecord } from "../plugin/journal.js";
import type { Storages } from "../plugin/storage.js";
import type { Leases } from "../plugin/stream.js";
import { methods } from "./methods.js";
import type { Metrics } from "./metrics.js";
import type { Request } from "./protocol.js";

/** What a call runs in: who calls, and when everything must stop. */
export interface Caller {
  readonly leases: Leases;
  /** Aborts when the connection is gone or the service stops. */
  readonly signal: AbortSignal;
  readonly log: Logger;
  readonly metrics?: Metrics;
  /** Is told of the work of a call, which may go on after its answer; never rejects. */
  readonly track?: (work: Promise<void>) => void;
}

/** The longest time limit of a call that a service still begins while it stops, in milliseconds. */
const briefMs = 10_000;

/**
 * Whether a service that stops still begins this call, so that status and lists go on while it finishes longer ones.
 * What is unknown is begun as well: the answer to it is brief.
 */
export function isBrief(name: string): boolean {
  const method = Object.hasOwn(methods, name) ? methods[name] : undefined;
  return method === undefined || (method.locksNothing && method.deadlineMs <= briefMs);
}

/**
 * Runs one request: checks it, opens its storage, takes the guests' locks, applies the deadline, checks the
 * result. Whatever goes wrong leaves as a {@link BlockioError}.
 *
 * When the deadline is over the caller gets its answer at once; the step under way is not torn apart: it keeps
 * its locks until it ends.
 */
export async function dispatch(storages: Storages, request: Request, caller: Caller): Promise<unknown> {
  const started = performance.now();
  const log = caller.log.with({ method: request.method, storeid: request.storeid });
  // Names that nobody knows would be as many as a client makes up.
  const known = Object.hasOwn(methods, request.method);
  const counted = caller.metrics?.call(
    known ? request.method : "unknown",
    known ? request.storeid : undefined,
  );
  try {
    const result = await run(storages, request, caller, log);
    counted?.("ok");
    log.debug("done", { ms: Math.round(performance.now() - started) });
    return result;
  } catch (error) {
    const typed = toTyped(error, request);
    counted?.(typed.code);
    log[typed.code === "internal" ? "error" : "info"]("failed", {
      ms: Math.round(performance.now() - started),
      volname: request.args["volname"],
      error: typed,
    });
    throw typed;
  }
}

async function run(storages: Storages, request: Request, caller: Caller, log: Logger): Promise<unknown> {
  const method = Object.hasOwn(methods, request.method) ? methods[request.method] : undefined;
  if (!method)
    throw fail("unsupported", `method '${request.method}' is unknown; is the service older than the plugin?`);
  if (request.storeid === undefined || request.scfg === undefined) {
    throw fail("invalid", `${request.method}: storeid and scfg are missing`);
  }
  const prepared = method.prepare(request.args);
  const storage = storages.open(request.storeid, request.scfg);
  const limit = request.deadlineMs ?? method.deadlineMs;
  const deadline = new AbortController();
  const timer = setTimeout(() => {
    deadline.abort(
      fail("timeout", `${request.method}: not finished within ${limit} ms; look at the service log`),
    );
  }, limit);
  const signal = AbortSignal.any([deadline.signal, caller.signal]);
  const ctx: Context = {
    signal,
    log,
    onRequest: (outcome, ms) => caller.metrics?.request(request.storeid, outcome, ms),
    unlessSilent: () => storage.silence.throwIfKnown(),
    request: new RequestRecord(storages.journal, request.request),
  };
  const work = (async () => {
    const guests = prepared.guests(storage, { leases: caller.leases });
    const release = await storage.lockGuests(guests, signal);
    try {
      // After the locks: a call that waits for a guest takes no place from others.
      const leave = await storage.enter(signal);
      try {
        return await prepared.run(storage, { ctx, leases: caller.leases });
      } finally {
        leave();
      }
    } finally {
      release();
    }
  })();
  const ended = work
    .then(
      () => {},
      (error: unknown) => {
        // Answered already: what still goes wrong is for the log.
        if (signal.aborted) log.info("ended after its caller was answered", { error });
      },
    )
    .finally(() => {
      if (request.request !== undefined) storages.journal.forget(request.request);
    });
  caller.track?.(ended);
  try {
    return await Promise.race([work, aborted(signal)]);
  } catch (error) {
    if (caller.signal.aborted || !isSilence(error)) throw error;
    return prepared.unanswered(storage, error, log);
  } finally {
    clearTimeout(timer);
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  const promise = new Promise<never>((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  promise.catch(() => {});
  return promise;
}

function toTyped(error: unknown, request: Request): BlockioError {
  if (error instanceof BlockioError) return error;
  if (error instanceof ZodError) {
    // Paths and expectations only: the rejected value may be a secret.
    const what = error.issues
      .map((issue) => `${issue.path.join(".") || "value"}: ${issue.message}`)
      .join("; ");
    return fail("invalid", `${request.method}: ${what}`);
  }
  return wrap(error, request.method);
}
