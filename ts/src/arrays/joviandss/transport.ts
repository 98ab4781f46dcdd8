// SPDX-License-Identifier: AGPL-3.0-or-later
import { setTimeout as sleep } from "node:timers/promises";
import type { Context } from "../../common/context.js";
import { type BlockioError, codeOf, fail } from "../../common/errors.js";
import { hedged } from "../../common/http/hedge.js";
import type { TransportLimits } from "../../common/http/limits.js";
import { interrupted, LostReply, Unreadable } from "../../common/http/lost.js";
import { Rotation } from "../../common/http/rotation.js";
import { Secret } from "../../common/secret.js";
import { type ArrayAnswer, arrayError, JovianError } from "./answer.js";
import { attempt, type Outcome } from "./attempt.js";
import { acceptableFor, type Call, defaultLimits, type Endpoint } from "./call.js";
import { findRule } from "./catalogue.js";
import { type Place, Pools } from "./pools.js";

type Failure = Exclude<Outcome, { kind: "data" }>;

/**
 * The REST API over TLS: addresses in turn, limits, retries, typed errors.
 *
 * Each request has a connection of its own: one that was kept may lead to a node that lost the pool's addresses.
 */
export class Transport {
  readonly #endpoint: Endpoint;
  readonly #limits: TransportLimits;
  readonly #rotation: Rotation;
  readonly #pools: Pools;
  readonly #credentials: Secret;
  /** Undefined until the array has answered. */
  #version: Endpoint["version"];
  #closed = false;

  constructor(endpoint: Endpoint, limits: Partial<TransportLimits> = {}) {
    this.#endpoint = endpoint;
    this.#limits = { ...defaultLimits, ...limits };
    this.#rotation = new Rotation(endpoint.addresses);
    this.#pools = new Pools(endpoint, this.#limits.connectMs);
    this.#version = endpoint.version;
    const plain = `${endpoint.user}:${endpoint.password.reveal()}`;
    this.#credentials = new Secret(Buffer.from(plain).toString("base64"));
  }

  /**
   * Sends a request until there is a reply or no further attempt makes sense; gives the reply's `data`, or undefined
   * when `landed` found out that an attempt without reply has worked.
   *
   * @throws `unreachable`, `timeout` when nothing is known, for changes that were sent as {@link LostReply};
   *   {@link Unreadable} when the last answer could not be read; otherwise what the array answered, as a JovianError.
   */
  async call(ctx: Context, call: Call): Promise<unknown> {
    const { pausesMs, probeMs } = this.#limits;
    const end = call.probe ? performance.now() + probeMs : Number.POSITIVE_INFINITY;
    const count = this.#rotation.addresses.length;
    let [lost, silent, round] = [false, 0, 0];
    for (;;) {
      const started = performance.now();
      const asked = this.#version ?? "v4";
      const { outcome, address } = await this.#attempt(call, end, ctx.signal);
      const { method, path } = call;
      ctx.log.debug("request", { method, path, address, outcome: outcome.kind, ms: since(started) });
      if (outcome.kind === "data") {
        this.#rotation.worked(address);
        this.#version ??= "v4";
        return outcome.data;
      }
      if (outcome.kind === "error" && this.#isOlder(outcome.answer, asked)) continue;
      const unseen = call.method !== "GET" && mayHaveWorked(outcome);
      lost ||= unseen;
      const error = this.#errorOf(outcome, call, address, lost, ctx.signal);
      const next = elsewhere(outcome, error);
      silent = next ? silent + 1 : 0;
      if (next) this.#rotation.failed(address);
      else this.#rotation.worked(address);
      // The others may be well: there is a pause when all of them were asked.
      const pause = next && silent % count !== 0 ? 0 : pausesMs[round++];
      const hopeless = outcome.kind === "aborted" || this.#closed;
      const late = performance.now() + (pause ?? 0) >= end;
      const last = hopeless || pause === undefined || late || !mayRepeat(error, outcome, call);
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

  /** An array that does not know the first address it is asked for has only the API before. */
  #isOlder(answer: ArrayAnswer, asked: "v3" | "v4"): boolean {
    const unknown = answer.status === 404 && findRule(answer).condition === "unknown";
    if (!unknown) this.#version ??= "v4";
    else if (asked === "v4") this.#version ??= "v3";
    return unknown && asked !== this.#version;
  }

  async #pause(ctx: Context, { what }: Call, error: BlockioError, pauseMs: number, lost: boolean) {
    ctx.log.warn("request to JovianDSS failed, trying again", { what, error, pauseMs });
    try {
      // Two that got in each other's way must not meet again.
      const jitter = error instanceof JovianError ? 0.5 + Math.random() : 1;
      await sleep(pauseMs * jitter, undefined, { signal: ctx.signal });
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
  ): Promise<{ outcome: Outcome; address: string }> {
    const { queryMs, commandMs, querySilenceMs, probeSilenceMs } = this.#limits;
    const isQuery = call.method === "GET";
    const limitMs = Math.min(call.limitMs ?? (isQuery ? queryMs : commandMs), end - performance.now());
    const first = this.#rotation.current;
    const addresses = new Map<Outcome, string>();
    const send = async (at: string, kind: Place, either: AbortSignal, ms: number): Promise<Outcome> => {
      const request = {
        method: call.method,
        path: `/api/${this.#version ?? "v4"}/${call.path}`,
        headers: {
          authorization: `Basic ${this.#credentials.reveal()}`,
          "content-type": "application/json",
        },
        ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
        limitMs: ms,
      };
      const outcome = await attempt(this.#pools.at(at, kind), request, acceptableFor(call), either);
      addresses.set(outcome, at);
      return outcome;
    };
    const ask = () => {
      if (!isQuery) return send(first, call.limitMs === undefined ? "quick" : "slow", signal, limitMs);
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
    return { outcome, address: addresses.get(outcome) ?? first };
  }

  #errorOf(outcome: Failure, call: Call, address: string, lost: boolean, signal: AbortSignal): BlockioError {
    const { what } = call;
    const { port } = this.#endpoint;
    const at = `JovianDSS at ${address.includes(":") ? `[${address}]` : address}:${port}`;
    const next = lost
      ? "the change may have been made; look at the object, then repeat"
      : "check the network and control_addresses";
    const text = (problem: string) => this.#scrub(`${what}: ${problem}; ${next}`);
    const unknown = (code: "unreachable" | "timeout", problem: string) =>
      lost ? new LostReply(code, text(problem)) : fail(code, text(problem));
    switch (outcome.kind) {
      case "error": {
        const { answer } = outcome;
        const clean = { ...answer, class: this.#scrub(answer.class), message: this.#scrub(answer.message) };
        return arrayError(what, clean, lost);
      }
      case "garbled":
        return new Unreadable(text(`${at} does not answer as it should (${outcome.reason})`), false);
      case "untrusted":
        return fail(
          "refused",
          `${what}: the certificate of ${at} is not trusted (${outcome.reason}); make this node trust it, ` +
            "or accept any with pvesm set --ssl_cert_verify 0",
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
    return this.#credentials.scrub(this.#endpoint.password.scrub(text));
  }
}

function since(started: number): number {
  return Math.round(performance.now() - started);
}

/** The request may have been carried out, although nobody said so. */
function mayHaveWorked(outcome: Failure): boolean {
  if (outcome.kind === "error") return /\bCfgParserError$/.test(outcome.answer.class);
  return (
    outcome.kind === "lost" || outcome.kind === "garbled" || (outcome.kind === "aborted" && outcome.sent)
  );
}

/** Another address may do better. */
function elsewhere(outcome: Failure, error: BlockioError): boolean {
  if (outcome.kind === "aborted" || outcome.kind === "untrusted") return false;
  return outcome.kind !== "error" || (error instanceof JovianError && error.condition === "pool-missing");
}

function mayRepeat(error: BlockioError, outcome: Failure, { repeat, landed }: Call): boolean {
  switch (outcome.kind) {
    case "refused":
      return true;
    case "lost":
    case "garbled":
      return repeat === "repeatable" || landed !== undefined;
    case "error": {
      const condition = error instanceof JovianError ? error.condition : "unknown";
      if (condition === "pool-missing") return true;
      // The change may have been made, as after a lost reply.
      return (
        (condition === "config-clash" || condition === "scst") &&
        (repeat === "repeatable" || landed !== undefined)
      );
    }
    default:
      return false;
  }
}
