// SPDX-License-Identifier: AGPL-3.0-or-later
import { setTimeout as sleep } from "node:timers/promises";
import { Pool } from "undici";
import type { Context } from "../../common/context.js";
import { fail } from "../../common/errors.js";
import { hedged } from "../../common/http/hedge.js";
import type { TransportLimits } from "../../common/http/limits.js";
import { interrupted, LostReply, Unreadable } from "../../common/http/lost.js";
import type { Secret } from "../../common/secret.js";
import { Addresses, type Resolve } from "./addresses.js";
import { arrayError } from "./answer.js";
import { attempt, type Outcome, type Request } from "./attempt.js";

/** For real arrays. */
export const defaultLimits: TransportLimits = {
  connectMs: 5_000,
  queryMs: 30_000,
  commandMs: 60_000,
  probeMs: 3_400,
  querySilenceMs: 5_000,
  probeSilenceMs: 1_000,
  pausesMs: [1_000, 2_000, 4_000, 8_000],
};

/**
 * When a request may be sent again. `query`: after any failure of the transport. `repeatable`: a command that may also
 * be repeated after its reply was lost. `once`: a command whose lost reply is a {@link LostReply}. All of them are
 * repeated when nothing was sent, and when StorPool says that its error is passing.
 */
export type Repeat = "query" | "repeatable" | "once";

/** What to send; `what` names operation and object in errors. */
export interface Call {
  readonly what: string;
  readonly path: string;
  readonly repeat: Repeat;
  /** Makes it a command. */
  readonly body?: unknown;
  /** Milliseconds for one attempt, instead of the usual ones. */
  readonly limitMs?: number;
  /** The reply comes only when something has happened: such calls do not take connections from others. */
  readonly waits?: boolean;
  /** Asks for the state of the array: answered soon, or with an error, and never behind other queries. */
  readonly probe?: boolean;
}

const prefix = "/ctrl/1.0/";
/** The list of all volumes with their tags is the largest reply; beyond this it is not one. */
const maxReplyBytes = 256 << 20;

/**
 * StorPool's API over HTTP: limits, retries, typed errors.
 *
 * Each request has a connection of its own. One that was kept may lead to a host that died while its address moved on:
 * a query on it would wait in vain, and of a command nobody would know whether it was carried out.
 */
export class Transport {
  /** Those that may take long keep no place from others. */
  readonly #pools: Readonly<Record<"quick" | "again" | "waiting" | "probing", Pool>>;
  readonly #addresses: Addresses;
  readonly #token: Secret;
  readonly #limits: TransportLimits;
  readonly #where: string;
  #closed = false;

  constructor(
    endpoint: { readonly host: string; readonly port: number; readonly token: Secret },
    limits: Partial<TransportLimits> = {},
    resolve?: Resolve,
  ) {
    this.#limits = { ...defaultLimits, ...limits };
    this.#token = endpoint.token;
    const host = endpoint.host.includes(":") ? `[${endpoint.host}]` : endpoint.host;
    this.#where = `${host}:${endpoint.port}`;
    this.#addresses = new Addresses(resolve);
    const options = {
      connect: this.#addresses.connector(this.#limits.connectMs),
      // No connection is kept.
      pipelining: 0,
      // Each attempt has its own limit, also the long ones.
      headersTimeout: 0,
      bodyTimeout: 0,
      maxResponseSize: maxReplyBytes,
    };
    const pool = (connections: number) => new Pool(`http://${this.#where}`, { ...options, connections });
    this.#pools = { quick: pool(4), again: pool(4), waiting: pool(8), probing: pool(16) };
  }

  /**
   * Sends a request until there is a reply or no further attempt makes sense; gives the reply's `data`.
   *
   * @throws `unreachable`, `timeout` when nothing is known, for commands that were sent as {@link LostReply};
   *   {@link Unreadable} when the last answer could not be read; otherwise what StorPool answered, as an ArrayError.
   */
  async call(ctx: Context, call: Call): Promise<unknown> {
    const isQuery = call.body === undefined;
    const { queryMs, commandMs, probeMs, pausesMs } = this.#limits;
    const limitMs = call.limitMs ?? (isQuery ? queryMs : commandMs);
    const end = call.probe ? performance.now() + probeMs : Number.POSITIVE_INFINITY;
    let lost = false;
    for (let round = 0; ; round++) {
      const started = performance.now();
      const outcome = await this.#attempt(call, Math.min(limitMs, end - started), ctx.signal);
      ctx.onRequest?.(outcome.kind, performance.now() - started);
      if (outcome.kind === "data") return outcome.data;
      if (outcome.kind === "lost" || outcome.kind === "garbled") this.#addresses.fellSilent();
      lost ||= !isQuery && mayHaveWorked(outcome);
      const error = this.#errorOf(outcome, call, lost, ctx.signal);
      const pause = pausesMs[round];
      const late = performance.now() + (pause ?? 0) >= end;
      if (this.#closed || pause === undefined || late || !mayRepeat(outcome, call.repeat)) {
        throw error;
      }
      ctx.log.warn("request to StorPool failed, trying again", { error, pauseMs: pause });
      try {
        await sleep(pause, undefined, { signal: ctx.signal });
      } catch {
        throw interrupted(error, lost, ctx.signal);
      }
    }
  }

  /** Ends all connections; requests under way fail and are not repeated. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(Object.values(this.#pools).map((pool) => pool.destroy()));
  }

  #attempt(call: Call, limitMs: number, signal: AbortSignal): Promise<Outcome> {
    const isQuery = call.body === undefined;
    const request: Request = {
      method: isQuery ? "GET" : "POST",
      path: prefix + call.path,
      ...(isQuery ? {} : { body: JSON.stringify(call.body) }),
      limitMs,
    };
    const { quick, again, waiting, probing } = this.#pools;
    if (call.waits) return attempt(waiting, this.#token, request, signal);
    if (!isQuery) return attempt(quick, this.#token, request, signal);
    const [first, second] = call.probe ? [probing, probing] : [quick, again];
    const { querySilenceMs, probeSilenceMs } = this.#limits;
    return hedged<Outcome>(
      (either, remainingMs, repeated) =>
        attempt(repeated ? second : first, this.#token, { ...request, limitMs: remainingMs }, either),
      {
        afterMs: call.probe ? probeSilenceMs : querySilenceMs,
        limitMs,
        onSilence: () => this.#addresses.fellSilent(),
      },
      signal,
    );
  }

  #errorOf(outcome: Exclude<Outcome, { kind: "data" }>, call: Call, lost: boolean, signal: AbortSignal) {
    const { what } = call;
    const at = `StorPool at ${this.#where}`;
    const text = (problem: string) =>
      this.#token.scrub(
        lost && call.repeat !== "query"
          ? `${what}: ${problem}, and the change may have been made; look at the object, then repeat`
          : `${what}: ${problem}; check the network and SP_API_HTTP_HOST in /etc/storpool.conf`,
      );
    const unknown = (code: "unreachable" | "timeout", problem: string) =>
      lost ? new LostReply(code, text(problem)) : fail(code, text(problem));
    switch (outcome.kind) {
      case "error": {
        const { name, descr, transient } = outcome.answer;
        const clean = { name: this.#token.scrub(name), descr: this.#token.scrub(descr), transient };
        return arrayError(what, clean, lost);
      }
      case "garbled":
        return new Unreadable(
          text(`${at} does not answer as StorPool does (${outcome.reason})`),
          outcome.final,
        );
      case "refused":
        return unknown("unreachable", `no connection to ${at} (${outcome.reason})`);
      case "lost":
        return unknown(
          outcome.timeout && !call.probe ? "timeout" : "unreachable",
          `no answer from ${at} (${outcome.reason})`,
        );
      case "aborted":
        return interrupted(fail("timeout", `${what}: not finished`), lost, signal);
    }
  }
}

function mayHaveWorked(outcome: Outcome): boolean {
  return (
    outcome.kind === "lost" || outcome.kind === "garbled" || (outcome.kind === "aborted" && outcome.sent)
  );
}

function mayRepeat(outcome: Exclude<Outcome, { kind: "data" }>, repeat: Repeat): boolean {
  switch (outcome.kind) {
    case "refused":
      return true;
    case "error":
      return outcome.answer.transient;
    case "lost":
      return repeat !== "once";
    case "garbled":
      return repeat !== "once" && !outcome.final;
    case "aborted":
      return false;
  }
}
