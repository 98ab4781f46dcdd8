// SPDX-License-Identifier: AGPL-3.0-or-later
import { setTimeout as sleep } from "node:timers/promises";
import type { Context } from "../../common/context.js";
import { type BlockioError, codeOf, fail } from "../../common/errors.js";
import { hedged } from "../../common/http/hedge.js";
import type { TransportLimits } from "../../common/http/limits.js";
import { interrupted, LostReply, Unreadable } from "../../common/http/lost.js";
import { Rotation } from "../../common/http/rotation.js";
import { arrayError } from "./answer.js";
import { attempt, type Outcome } from "./attempt.js";
import { type Call, defaultLimits, type Endpoint, isQuery } from "./call.js";
import { type Place, Pools } from "./pools.js";

type Failure = Exclude<Outcome, { kind: "data" }>;

const userAgent = "pve-blockio";

/**
 * LINSTOR's REST API: controllers in turn, limits, retries, typed errors. One controller of a cluster is active and the
 * others do not answer, so the one that has answered is asked again.
 */
export class Transport {
  readonly #endpoint: Endpoint;
  readonly #limits: TransportLimits;
  readonly #rotation: Rotation;
  readonly #pools: Pools;
  #closed = false;

  constructor(endpoint: Endpoint, limits: Partial<TransportLimits> = {}) {
    this.#endpoint = endpoint;
    this.#limits = { ...defaultLimits, ...limits };
    this.#rotation = new Rotation(endpoint.controllers);
    this.#pools = new Pools(endpoint, this.#limits.connectMs);
  }

  /** How long a change may go on at the controller after we gave it up, in milliseconds. */
  get commandMs(): number {
    return this.#limits.commandMs;
  }

  /**
   * Sends a request until there is a reply or no further attempt makes sense; gives the reply, or undefined when `landed`
   * found out that an attempt without reply has worked.
   *
   * @throws `unreachable`, `timeout` when nothing is known, for changes that were sent as {@link LostReply};
   *   {@link Unreadable} when the last answer could not be read; otherwise what LINSTOR answered, as a LinstorError.
   */
  async call(ctx: Context, call: Call): Promise<unknown> {
    const { pausesMs, probeMs } = this.#limits;
    const end = call.probe ? performance.now() + probeMs : Number.POSITIVE_INFINITY;
    const count = this.#rotation.addresses.length;
    let [lost, silent, round] = [false, 0, 0];
    for (;;) {
      const started = performance.now();
      const { outcome, origin } = await this.#attempt(call, end, ctx.signal);
      const ms = Math.round(performance.now() - started);
      ctx.log.debug("request", {
        method: call.method,
        path: call.path,
        controller: origin,
        outcome: outcome.kind,
        ms,
      });
      if (outcome.kind === "data") {
        this.#rotation.worked(origin);
        return outcome.data;
      }
      const unseen = !isQuery(call) && mayHaveWorked(outcome);
      lost ||= unseen;
      const error = this.#errorOf(outcome, call, origin, lost, ctx.signal);
      const next = isElsewhere(outcome);
      silent = next ? silent + 1 : 0;
      if (next) this.#rotation.failed(origin);
      else this.#rotation.worked(origin);
      // Another one may be active: there is a pause when all of them were asked.
      const pause = next && silent % count !== 0 ? 0 : pausesMs[round++];
      const hopeless = outcome.kind === "aborted" || this.#closed;
      const late = performance.now() + (pause ?? 0) >= end;
      const last = hopeless || pause === undefined || late || !mayRepeat(outcome, call);
      if (!last) await this.#pause(ctx, call, error, pause, lost);
      if (unseen && !hopeless && (await this.#landed(ctx, call, error))) return undefined;
      if (last) throw error;
    }
  }

  /** Ends all connections; requests under way fail and are not repeated. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#pools.close();
  }

  async #pause(ctx: Context, { what }: Call, error: BlockioError, pauseMs: number, lost: boolean) {
    ctx.log.warn("request to LINSTOR failed, trying again", { what, error, pauseMs });
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

  async #attempt(
    call: Call,
    end: number,
    signal: AbortSignal,
  ): Promise<{ outcome: Outcome; origin: string }> {
    const { queryMs, commandMs, querySilenceMs, probeSilenceMs } = this.#limits;
    const query = isQuery(call);
    const limitMs = Math.min(query ? queryMs : commandMs, end - performance.now());
    const first = this.#rotation.current;
    const origins = new Map<Outcome, string>();
    const send = async (at: string, place: Place, either: AbortSignal, ms: number): Promise<Outcome> => {
      const { authorization } = this.#endpoint;
      const request = {
        method: call.method,
        path: `/v1/${call.path}`,
        headers: {
          "user-agent": userAgent,
          "content-type": "application/json",
          ...(authorization ? { authorization: authorization.reveal() } : {}),
        },
        ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
        limitMs: ms,
      };
      const outcome = await attempt(this.#pools.at(at, place), request, query, either);
      origins.set(outcome, at);
      return outcome;
    };
    const ask = () => {
      if (!query) return send(first, "slow", signal, limitMs);
      const [usual, second] = call.probe ? (["probing", "probing"] as const) : (["quick", "again"] as const);
      return hedged<Outcome>(
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
    return { outcome, origin: origins.get(outcome) ?? first };
  }

  #errorOf(outcome: Failure, call: Call, origin: string, lost: boolean, signal: AbortSignal): BlockioError {
    const { what } = call;
    const at = `LINSTOR's controller at ${origin}`;
    const next = lost
      ? "the change may have been made; look at the object, then repeat"
      : "check the network, and controller in the storage";
    const text = (problem: string) => this.#scrub(`${what}: ${problem}; ${next}`);
    const unknown = (code: "unreachable" | "timeout", problem: string) =>
      lost ? new LostReply(code, text(problem)) : fail(code, text(problem));
    switch (outcome.kind) {
      case "error": {
        const entries = outcome.entries.map((entry) => ({
          ...entry,
          message: this.#scrub(entry.message),
          cause: this.#scrub(entry.cause),
          correction: this.#scrub(entry.correction),
        }));
        return arrayError(what, outcome.status, entries, lost);
      }
      case "garbled":
        return new Unreadable(text(`${at} does not answer as it should (${outcome.reason})`), false);
      case "untrusted":
        return fail(
          "refused",
          `${what}: the certificate of ${at} is not trusted (${outcome.reason}); name its CA with pvesm set --apica`,
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

  #scrub(text: string): string {
    const { authorization } = this.#endpoint;
    if (!authorization) return text;
    // Without the word in front of it, too.
    const [, value = ""] = authorization.reveal().split(" ");
    return authorization.scrub(value === "" ? text : text.replaceAll(value, "***"));
  }
}

/** The request may have been carried out, although nobody said so. */
function mayHaveWorked(outcome: Failure): boolean {
  return (
    outcome.kind === "lost" || outcome.kind === "garbled" || (outcome.kind === "aborted" && outcome.sent)
  );
}

/** Another controller may do better. */
function isElsewhere(outcome: Failure): boolean {
  return outcome.kind !== "aborted" && outcome.kind !== "untrusted" && outcome.kind !== "error";
}

function mayRepeat(outcome: Failure, call: Call): boolean {
  switch (outcome.kind) {
    case "refused":
      return true;
    case "lost":
    case "garbled":
      return isQuery(call) || call.repeat === "repeatable" || call.landed !== undefined;
    default:
      return false;
  }
}
