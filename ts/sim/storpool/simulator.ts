// SPDX-License-Identifier: AGPL-3.0-or-later
import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { reset, send, sendHalf, text } from "../common/exchange.js";
import { Journal, type JournalEntry } from "../common/journal.js";
import { Listener } from "../common/listener.js";
import { type Behaviour, type BehaviourChange, behaviourSchema } from "./behaviour.js";
import { Cluster } from "./cluster.js";
import { control } from "./control.js";
import { bodyOf, failure, parsed, success } from "./exchange.js";
import { type Fault, type FaultOrder, Faults } from "./faults.js";
import type { Expected } from "./invariants.js";
import type { Device } from "./nodes.js";
import type { SimulatorOptions } from "./options.js";
import { asRefusal, Refusal, refuse } from "./refusal.js";
import type { Client, State } from "./state.js";

const prefix = "/ctrl/1.0/";

/** A simulated StorPool cluster: the management service over HTTP, and the clients with their devices. */
export class StorPoolSimulator {
  readonly token: string;
  readonly journal: Journal;
  readonly faults: Faults;
  readonly #cluster: Cluster;
  readonly #listener: Listener;
  readonly #control: boolean;
  #resume: NodeJS.Timeout | undefined;
  #closing: Promise<void> | undefined;

  private constructor(cluster: Cluster, options: SimulatorOptions) {
    this.token = options.token ?? "1556129910218014736";
    this.journal = new Journal([this.token]);
    this.faults = new Faults(options.faults ?? {}, options.seed ?? 1);
    this.#cluster = cluster;
    const { host = "127.0.0.1", port = 0 } = options;
    this.#listener = new Listener(
      host,
      port,
      undefined,
      (request, response) => void this.#serve(request, response),
    );
    this.#control = options.control ?? false;
  }

  /** Starts one, listening. Close it, also after errors: loop devices outlive the process. */
  static async start(options: SimulatorOptions = {}): Promise<StorPoolSimulator> {
    const cluster = await Cluster.open(options);
    const simulator = new StorPoolSimulator(cluster, options);
    try {
      await simulator.listen();
      return simulator;
    } catch (error) {
      await cluster.close();
      throw error;
    }
  }

  get host(): string {
    return this.#listener.address;
  }

  get port(): number {
    return this.#listener.port;
  }

  /** Such as `http://127.0.0.1:8081`, without `/ctrl/1.0/`. */
  get url(): string {
    return this.#listener.url;
  }

  /** What the service remembers, to look at and to arrange; see `check` afterwards. */
  get state(): State {
    return this.#cluster.state;
  }

  get behaviour(): Behaviour {
    return this.#cluster.behaviour;
  }

  /** Changes switches; those not named stay. */
  configure(change: BehaviourChange): void {
    this.#cluster.behaviour = behaviourSchema.parse({ ...this.#cluster.behaviour, ...change });
  }

  /** Orders a fault for a request to come. */
  inject(order: FaultOrder): void {
    this.faults.add(order);
  }

  /** Takes a client down, or brings it back; resolves when it has the configuration. */
  async setClient(id: number, status: Client["status"]): Promise<void> {
    await this.#cluster.nodes.setStatus(this.state.client(id), status);
  }

  /** Says that a client has an object open, whatever its device looks like. The object must be attached. */
  setOpen(client: number, globalId: string, open: boolean): void {
    const row = this.state.attachments.find((at) => at.client === client && at.object.globalId === globalId);
    if (!row) throw new Error(`'${globalId}' is not attached to client ${client}`);
    row.open = open;
  }

  /** The device of an object at a client, while its link is there. */
  device(client: number, globalId: string): Device | undefined {
    return this.#cluster.nodes
      .devices()
      .find((at) => at.visible && at.client === client && at.object.globalId === globalId);
  }

  /** What is wrong inside: nothing, or one line each. */
  check(expected: Expected = {}): string[] {
    return this.#cluster.check(expected);
  }

  /** Refuses connections, for so many milliseconds or until `listen`; those that are there are reset. */
  async refuseConnections(forMs?: number): Promise<void> {
    clearTimeout(this.#resume);
    await this.#listener.set("refusing");
    if (forMs !== undefined)
      this.#resume = setTimeout(() => void this.listen().catch(() => undefined), forMs);
  }

  /** Accepts connections again, at the same port. */
  async listen(): Promise<void> {
    clearTimeout(this.#resume);
    if (!this.#closing) await this.#listener.set("open");
  }

  /** Ends everything: connections, waits, links, loop devices, files. */
  close(): Promise<void> {
    this.#closing ??= (async () => {
      try {
        clearTimeout(this.#resume);
        await this.#listener.close();
      } finally {
        await this.#cluster.close();
      }
    })();
    return this.#closing;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    try {
      const url = new URL(request.url ?? "/", "http://simulator");
      if (url.pathname.startsWith(prefix)) await this.#answer(request, response, url, gone.signal);
      else if (url.pathname.startsWith("/sim/") && this.#control)
        send(
          response,
          await control(this, request.method ?? "", url.pathname.slice("/sim/".length), request),
        );
      else send(response, text(404, "not found\n"));
    } catch {
      // The connection broke while the request was read.
      reset(response);
    }
  }

  async #answer(
    request: IncomingMessage,
    response: ServerResponse,
    url: URL,
    signal: AbortSignal,
  ): Promise<void> {
    const verb = request.method ?? "";
    const path = decoded(url.pathname.slice(prefix.length)).replace(/^MultiCluster\//, "");
    let broken: unknown;
    const sent = await received(request, url).catch((error) => {
      if (!(error instanceof Refusal)) throw error;
      broken = error;
    });
    const entry = this.journal.begin({ verb, path, request: path.split("/")[0] ?? "", body: sent });
    const faults = this.faults.of(entry.request);
    entry.faults = faults.map(({ kind }) => kind);
    const has = (kind: Fault["kind"]) => entry.faults.includes(kind);
    const { state } = this.#cluster;
    for (const { kind, ms } of faults) if (kind === "delay") await sleep(ms);
    if (has("reset-before") || has("bad-gateway")) {
      entry.outcome = "none";
      return has("bad-gateway") ? send(response, text(502, "bad gateway\n")) : reset(response);
    }
    const answer = await this.#outcome(
      entry,
      request.headers.authorization,
      sent,
      faults,
      broken,
      signal,
    ).then(
      (data) => success(data, state.generation),
      (error) => failure(asRefusal(error), state.generation, this.behaviour),
    );
    if (this.behaviour.replyMs > 0) await sleep(this.behaviour.replyMs);
    if (has("silent")) return;
    if (has("reset-after")) return reset(response);
    if (has("cut")) return sendHalf(response, answer);
    send(response, answer);
  }

  /** What a request leads to, noted in its entry. */
  async #outcome(
    entry: JournalEntry,
    authorization: string | undefined,
    sent: unknown,
    faults: readonly Fault[],
    broken: unknown,
    signal: AbortSignal,
  ): Promise<unknown> {
    try {
      for (const { kind, name, descr } of faults) {
        if (kind === "transient") throw new Refusal("unavailable", "the service is busy with itself", true);
        if (kind === "error") throw new Refusal(name, descr);
      }
      if (authorization !== `Storpool v1:${this.token}`) throw refuse("accessDenied", "wrong or no token");
      if (broken) throw broken;
      const data = await this.#cluster.request(entry.verb, entry.path, sent, signal);
      entry.outcome = "ok";
      return data;
    } catch (error) {
      entry.outcome = asRefusal(error).refusal;
      throw error;
    }
  }
}

/** The body of a command, or the document in the query string. */
async function received(request: IncomingMessage, url: URL): Promise<unknown> {
  const body = await bodyOf(request);
  const document = url.searchParams.get("json");
  return body ?? (document === null ? undefined : parsed(document));
}

/** A path as it was meant; one that is encoded badly stays, and is unknown. */
function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
