// SPDX-License-Identifier: AGPL-3.0-or-later
import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { selfSigned } from "../common/certificate.js";
import { json, reset, send, sendHalf, text } from "../common/exchange.js";
import { Journal } from "../common/journal.js";
import { JovianArray } from "./array.js";
import { type Behaviour, type BehaviourChange, behaviourSchema } from "./behaviour.js";
import { control } from "./control.js";
import { type DoorState, Doors } from "./doors.js";
import { failure, success, unauthorized } from "./exchange.js";
import { type FaultOrder, Faults } from "./faults.js";
import { Initiator } from "./initiators.js";
import { type Expected, problems } from "./invariants.js";
import { type Login, loginProblem } from "./logins.js";
import type { SimulatorOptions } from "./options.js";
import { asRefusal } from "./refusal.js";
import { Requests } from "./requests.js";
import { addSnapshot } from "./snapshots.js";
import type { ArrayState, Pool, Session, Snapshot, Volume } from "./state.js";

/** A simulated JovianDSS: the REST API over TLS at several addresses, volumes with data, targets for an exporter. */
export class JovianSimulator {
  readonly journal: Journal;
  readonly faults: Faults;
  /** The certificate of all control addresses, in PEM. */
  readonly certificate: string;
  readonly user: string;
  readonly #array: JovianArray;
  readonly #requests: Requests;
  readonly #doors: Doors;
  readonly #control: boolean;
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #initiators = new Map<string, Initiator>();
  #password: string;
  #sid = 0x4957301003d0200n;
  #closing: Promise<void> | undefined;

  private constructor(array: JovianArray, options: SimulatorOptions) {
    const addresses = options.addresses ?? ["127.0.0.1", "127.0.0.2"];
    const identity = options.identity ?? selfSigned("joviandss", addresses);
    this.certificate = identity.cert;
    this.user = options.user ?? "admin";
    this.#password = options.password ?? "admin-secret-1";
    this.journal = new Journal([this.#password]);
    this.faults = new Faults(options.faults ?? {}, options.seed ?? 1);
    this.#array = array;
    this.#requests = new Requests(array, this.journal, this.faults);
    this.#control = options.control ?? false;
    this.#doors = new Doors(
      addresses,
      options.port ?? 0,
      identity,
      (address, request, response) => void this.#serve(address, request, response),
    );
  }

  /** Starts one, listening. Close it, also after errors. */
  static async start(options: SimulatorOptions = {}): Promise<JovianSimulator> {
    const array = await JovianArray.open(options);
    const simulator = new JovianSimulator(array, options);
    try {
      await simulator.#doors.open();
      return simulator;
    } catch (error) {
      await array.close();
      throw error;
    }
  }

  get port(): number {
    return this.#doors.port;
  }

  get addresses(): readonly string[] {
    return this.#doors.addresses;
  }

  get password(): string {
    return this.#password;
  }

  /** What the array remembers, to look at and to arrange; see `check` afterwards. */
  get state(): ArrayState {
    return this.#array.state;
  }

  get behaviour(): Behaviour {
    return this.#array.behaviour;
  }

  /** A pool by its name; the first one without. */
  pool(name?: string): Pool {
    const found = name === undefined ? [...this.state.pools.values()][0] : this.state.pools.get(name);
    if (!found) throw new Error(`no pool '${name}'`);
    return found;
  }

  /** Changes switches; those not named stay. */
  configure(change: BehaviourChange): void {
    this.#array.behaviour = behaviourSchema.parse({ ...this.#array.behaviour, ...change });
  }

  /** Orders a fault for a request to come. */
  inject(order: FaultOrder): void {
    this.faults.add(order);
  }

  /** The password from now on; the old one is refused. Neither gets into the journal. */
  changePassword(password: string): void {
    this.#password = password;
    this.journal.hide(password);
  }

  /** What is behind one address, for so many milliseconds or until it is said again. */
  async setAddress(address: string, state: DoorState, forMs?: number): Promise<void> {
    await this.#doors.set(address, state);
    if (forMs !== undefined) this.#after(forMs, () => this.#doors.set(address, "open"));
  }

  /**
   * The pool moves to the other node: all of its addresses stop. Those of `to` answer again after `afterMs`, the others
   * stay away, or answer that there is no such pool (switch `standby`).
   */
  async failover({ to, afterMs }: { to?: readonly string[]; afterMs: number }): Promise<void> {
    const away = this.behaviour.standby === "refuse" ? "refusing" : "standby";
    for (const address of this.addresses) await this.#doors.set(address, away);
    for (const address of to ?? this.addresses.slice(1))
      this.#after(afterMs, () => this.#doors.set(address, "open"));
  }

  /** A snapshot that the array's own scheduler makes. */
  autosnap(volume: Volume, name: string, pool = this.pool()): Promise<Snapshot> {
    return this.#array.change(() => addSnapshot(this.#array, pool, volume, name));
  }

  /** Logs an initiator in as the array would; throws what the initiator is told. */
  login(login: Login, pool = this.pool()): Session {
    const target = pool.targets.get(login.iqn);
    const problem = loginProblem(pool, target, login);
    if (problem !== undefined || !target) throw new Error(problem ?? "no such target");
    const sid = (this.#sid++).toString(16);
    const session = { initiator: login.initiator, ip: login.ip, sid, cid: "0" };
    target.sessions.push(session);
    return session;
  }

  logout({ sid }: Session): void {
    for (const pool of this.state.pools.values())
      for (const target of pool.targets.values())
        target.sessions = target.sessions.filter((session) => session.sid !== sid);
  }

  /** The kernel of a node, which has loop devices for LUNs; the same one for the same name. */
  initiator(name: string): Initiator {
    const known = this.#initiators.get(name);
    if (known) return known;
    const logIn = (login: Login) => {
      const pools = [...this.state.pools.values()];
      return this.login(login, pools.find(({ targets }) => targets.has(login.iqn)) ?? this.pool());
    };
    const made = new Initiator(this.#array, logIn, (session) => this.logout(session), name);
    this.#initiators.set(name, made);
    return made;
  }

  /** What is wrong inside, or was asked for wrongly: nothing, or one line each. */
  check(expected: Expected = {}): string[] {
    return problems(this.state, this.#array.files, this.journal, expected);
  }

  /** Ends everything: connections, targets, files. */
  close(): Promise<void> {
    this.#closing ??= (async () => {
      for (const timer of this.#timers) clearTimeout(timer);
      try {
        await this.#doors.close();
        for (const initiator of this.#initiators.values()) await initiator.die();
      } finally {
        await this.#array.close();
      }
    })();
    return this.#closing;
  }

  #after(ms: number, body: () => Promise<void>): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (!this.#closing) void body().catch(() => undefined);
    }, ms);
    this.#timers.add(timer);
  }

  async #serve(address: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = request.url ?? "/";
    try {
      if (url.startsWith("/sim/")) {
        const answer = this.#control
          ? await control(this, request.method ?? "", url.slice("/sim/".length), request)
          : text(404, "not found\n");
        return send(response, answer);
      }
      await this.#answer(address, url, request, response);
    } catch {
      // The connection broke while the request was read.
      reset(response);
    }
  }

  async #answer(address: string, url: string, request: IncomingMessage, response: ServerResponse) {
    const owns = this.#doors.stateOf(address) === "open";
    const credentials = `Basic ${Buffer.from(`${this.user}:${this.#password}`).toString("base64")}`;
    const known = request.headers.authorization === credentials;
    const { entry, faults, run } = await this.#requests.receive(address, url, request);
    const has = (kind: string) => faults.some((fault) => fault.kind === kind);
    for (const { kind, ms } of faults) if (kind === "delay") await sleep(ms);
    if (has("reset-before") || has("hang") || has("bad-gateway") || has("unauthorized") || !known) {
      entry.outcome = "none";
      if (has("reset-before")) return reset(response);
      if (has("hang")) return;
      if (has("bad-gateway")) return send(response, text(502, "<html>Bad Gateway</html>"));
      entry.outcome = "unauthorized";
      return send(response, unauthorized);
    }
    const answer = await run(owns).then(success, (error) =>
      failure(asRefusal(error), `https://${address}:${this.port}${url}`, this.behaviour),
    );
    if (this.behaviour.replyMs > 0) await sleep(this.behaviour.replyMs);
    if (has("silent")) return;
    if (has("reset-after")) return reset(response);
    if (has("cut")) return sendHalf(response, answer);
    if (has("garbage")) return send(response, text(200, "<html>please wait</html>"));
    if (has("null-data")) return send(response, json(200, { data: null, error: null }));
    send(response, answer);
  }
}
