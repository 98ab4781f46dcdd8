// SPDX-License-Identifier: AGPL-3.0-or-later
import { setTimeout as sleep } from "node:timers/promises";
import type { Context } from "../context.js";
import { type BlockioError, codeOf, fail } from "../errors.js";
import { type Call, isQuery } from "./call.js";
import type { Dialect, Passing } from "./dialect.js";
import { hedged } from "./hedge.js";
import type { TransportLimits } from "./limits.js";
import { interrupted, LostReply, Unreadable } from "./lost.js";
import { attempt, type Failure, type Outcome } from "./outcome.js";
import { type Place, type PoolOptions, Pools } from "./pools.js";
import { Rotation } from "./rotation.js";

interface Attempt<Said> {
  readonly outcome: Outcome<Said>;
  readonly origin: string;
  /** As it went over the wire. */
  readonly path: string;
}

/**
 * A REST API with several hosts of which one answers: hosts in turn, limits, retries, typed errors.
 *
 * Each request has a connection of its own: one that was kept may lead to a host that is not the right one any more.
 */
export class Transport<C extends Call, Said> {
  readonly #rotation: Rotation;
  readonly #pools: Pools;
  #closed = false;

  constructor(
    private readonly dialect: Dialect<C, Said>,
    origins: readonly string[],
    readonly limits: TransportLimits,
    pools: Omit<PoolOptions, "connectMs">,
  ) {
    this.#rotation = new Rotation(origins);
    this.#pools = new Pools(origins, { connectMs: limits.connectMs, ...pools });
  }

  /**
   * Sends a request until there is a reply or no further attempt makes sense; gives the reply's data, or undefined when
   * `landed` found out that an attempt without reply has worked.
   *
   * @throws `unreachable`, `timeout` when nothing is known, for changes that were sent as {@link LostReply};
   *   {@link Unreadable} when the last answer could not be read; otherwise what the array answered, as its own error.
   */
  async call(ctx: Context, call: C): Promise<unknown> {
    const { pausesMs, probeMs } = this.limits;
    const end = call.probe ? performance.now() + probeMs : Number.POSITIVE_INFINITY;
    const count = this.#rotation.addresses.length;
    let [lost, silent, round] = [false, 0, 0];
    for (;;) {
      const { outcome, origin, path } = await this.#observed(ctx, call, end);
      const replied = outcome.kind === "data" || outcome.kind === "error";
      const again = replied && this.dialect.learn?.(outcome, path);
      if (outcome.kind === "data") {
        this.#rotation.worked(origin);
        return outcome.data;
      }
      if (again) continue;
      const passing = outcome.kind === "error" ? this.dialect.passing?.(outcome.said) : undefined;
      const unseen = !isQuery(call) && (passing?.unseen || mayHaveWorked(outcome));
      lost ||= unseen;
      const error = this.#errorOf(outcome, call, origin, lost, ctx.signal);
      const next = isSilence(outcome) || passing?.elsewhere === true;
      silent = next ? silent + 1 : 0;
      if (next) this.#rotation.failed(origin);
      else this.#rotation.worked(origin);
      // The others may be well: there is a pause when all of them were asked.
      const pause = next && silent % count !== 0 ? 0 : pausesMs[round++];
      const hopeless = outcome.kind === "aborted" || this.#closed;
      const late = performance.now() + (pause ?? 0) >= end;
      const last = hopeless || pause === undefined || late || !mayRepeat(outcome, call, passing);
      if (!last) await this.#pause(ctx, call, error, jittered(pause, outcome), lost);
      if (unseen && !hopeless && (await this.#landed(ctx, call, error))) return undefined;
      if (last) throw error;
    }
  }

  /** Ends all connections; requests under way fail and are not repeated. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#pools.close();
  }

  async #observed(ctx: Context, call: C, end: number): Promise<Attempt<Said>> {
    const started = performance.now();
    const result = await this.#attempt(call, end, ctx.signal);
    const ms = Math.round(performance.now() - started);
    const { kind } = result.outcome;
    ctx.onRequest?.(kind, ms);
    const { method, path } = call;
    ctx.log.debug("request", { method, path, host: result.origin, outcome: kind, ms });
    return result;
  }

  async #pause(ctx: Context, { what }: Call, error: BlockioError, pauseMs: number, lost: boolean) {
    ctx.log.warn(`request to ${this.dialect.array} failed, trying again`, { what, error, pauseMs });
    try {
      await sleep(pauseMs, undefined, { signal: ctx.signal });
    } catch {
      throw interrupted(error, lost, ctx.signal);
    }
  }

  /** Did a change that got no reply work? When that cannot be found out, the lost reply is what is known. */
  async #landed(ctx: Context, { landed }: Call, error: BlockioError): Promise<boolean> {
    if (!landed) return false;
    try {
      return await landed(ctx);
    } catch (cause) {
      throw new LostReply(codeOf(error) === "timeout" ? "timeout" : "unreachable", error.message, { cause });
    }
  }

  async #attempt(call: C, end: number, signal: AbortSignal): Promise<Attempt<Said>> {
    const { queryMs, commandMs, querySilenceMs, probeSilenceMs } = this.limits;
    const query = isQuery(call);
    const limitMs = Math.min(call.limitMs ?? (query ? queryMs : commandMs), end - performance.now());
    const first = this.#rotation.current;
    const attempts = new Map<Outcome<Said>, Attempt<Said>>();
    const send = async (origin: string, place: Place, either: AbortSignal, ms: number) => {
      const { path, headers } = this.dialect.request(call);
      const request = {
        method: call.method,
        path,
        headers: { ...headers, "content-type": "application/json" },
        ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
        limitMs: ms,
      };
      const judge = (reply: Parameters<typeof this.dialect.judge>[1]) => this.dialect.judge(call, reply);
      const outcome = await attempt(this.#pools.at(origin, place), request, judge, either);
      attempts.set(outcome, { outcome, origin, path });
      return outcome;
    };
    const ask = () => {
      if (!query) return send(first, call.limitMs === undefined ? "changing" : "slow", signal, limitMs);
      const [usual, second] = call.probe ? (["probing", "probing"] as const) : (["asking", "again"] as const);
      return hedged<Outcome<Said>>(
        (either, ms, again) =>
          again ? send(this.#rotation.after(first), second, either, ms) : send(first, usual, either, ms),
        {
          afterMs: call.probe ? probeSilenceMs : querySilenceMs,
          limitMs,
          onSilence: () => this.#rotation.failed(first),
        },
        signal,
      );
    };
    const outcome = await ask();
    return attempts.get(outcome) ?? { outcome, origin: first, path: "" };
  }

  #errorOf(
    outcome: Failure<Said>,
    call: Call,
    origin: string,
    lost: boolean,
    signal: AbortSignal,
  ): BlockioError {
    const { what } = call;
    const { dialect } = this;
    const at = dialect.at(origin);
    const next = lost ? "the change may have been made; look at the object, then repeat" : dialect.whenSilent;
    const text = (problem: string) => dialect.scrub(`${what}: ${problem}; ${next}`);
    const unknown = (code: "unreachable" | "timeout", problem: string) =>
      lost ? new LostReply(code, text(problem)) : fail(code, text(problem));
    switch (outcome.kind) {
      case "error":
        return dialect.error(what, outcome.said, lost);
      case "garbled":
        return new Unreadable(text(`${at} does not answer as it should (${outcome.reason})`), false);
      case "untrusted":
        return dialect.untrusted(what, at, outcome.reason);
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

/** Requests that got in each other's way must not meet again. */
function jittered(pauseMs: number, outcome: Failure<unknown>): number {
  return outcome.kind === "error" ? pauseMs * (0.5 + Math.random()) : pauseMs;
}

/** The request may have been carried out, although nobody said so. */
function mayHaveWorked(outcome: Failure<unknown>): boolean {
  return (
    outcome.kind === "lost" || outcome.kind === "garbled" || (outcome.kind === "aborted" && outcome.sent)
  );
}

/** The array has said nothing; another host may. */
function isSilence({ kind }: Failure<unknown>): boolean {
  return kind === "refused" || kind === "lost" || kind === "garbled";
}

function mayRepeat(outcome: Failure<unknown>, call: Call, passing: Passing | undefined): boolean {
  const isHarmless = isQuery(call) || call.repeat === "repeatable" || call.landed !== undefined;
  switch (outcome.kind) {
    case "refused":
      return true;
    case "lost":
    case "garbled":
      return isHarmless;
    case "error":
      return passing !== undefined && (passing.repeat === "always" || isHarmless);
    default:
      return false;
  }
}
