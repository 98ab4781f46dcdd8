// SPDX-License-Identifier: AGPL-3.0-or-later
import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { selfSigned } from "../common/certificate.js";
import { type Answer, reset, send, sendHalf, text } from "../common/exchange.js";
import { Journal } from "../common/journal.js";
import { Listener, type ListenerState } from "../common/listener.js";
import { Timers } from "../common/timers.js";
import { type Access, refusedAccess } from "./authentication.js";
import { type Behaviour, type BehaviourChange, behaviourSchema } from "./behaviour.js";
import { LinstorCluster } from "./cluster.js";
import { control } from "./control.js";
import type { Device } from "./devices.js";
import { type FaultOrder, Faults } from "./faults.js";
import { type Expected, idle, problems } from "./invariants.js";
import type { SimulatorOptions } from "./options.js";
import { Requests } from "./requests.js";
import type { Openness, State } from "./state.js";
import { isInUse } from "./use.js";

interface Controller {
  readonly address: string;
  readonly plain: Listener | undefined;
  readonly tls: Listener | undefined;
}

/** A simulated LINSTOR cluster: controllers with the REST API, satellites with DRBD devices. */
export class LinstorSimulator {
  readonly journal: Journal;
  readonly faults: Faults;
  /** The certificate of all controllers, in PEM. */
  readonly certificate: string;
  readonly token: string | undefined;
  readonly #access: Access;
  readonly #cluster: LinstorCluster;
  readonly #requests: Requests;
  readonly #controllers: readonly Controller[];
  readonly #control: boolean;
  readonly #watch: SimulatorOptions["watch"];
  readonly #timers = new Timers();
  #active: string | undefined;
  #closing: Promise<void> | undefined;

  private constructor(cluster: LinstorCluster, faults: Faults, options: SimulatorOptions) {
    const addresses = options.controllers ?? ["127.0.0.1"];
    const { port = 0, tlsPort, token, users } = options;
    const identity = options.identity ?? selfSigned("linstor-controller", addresses);
    this.certificate = identity.cert;
    this.token = token;
    this.#access = { token, users };
    this.journal = new Journal([...(token === undefined ? [] : [token]), ...Object.values(users ?? {})]);
    this.faults = faults;
    this.#cluster = cluster;
    this.#requests = new Requests(cluster, this.journal, faults);
    this.#control = options.control ?? false;
    this.#watch = options.watch;
    this.#controllers = addresses.map((address) => {
      const serve = (request: IncomingMessage, response: ServerResponse) =>
        void this.#serve(address, request, response);
      return {
        address,
        plain: port === null ? undefined : new Listener(address, port, undefined, serve),
        tls: tlsPort === undefined ? undefined : new Listener(address, tlsPort, identity, serve),
      };
    });
    this.#active = addresses[0];
  }

  /** Starts one, listening. Close it, also after errors: loop devices outlive the process. */
  static async start(options: SimulatorOptions = {}): Promise<LinstorSimulator> {
    const faults = new Faults(options.faults ?? {}, options.seed ?? 1);
    const cluster = await LinstorCluster.open(options, faults);
    const simulator = new LinstorSimulator(cluster, faults, options);
    try {
      // Once each, so that all have their ports; only the active one stays open.
      for (const { address } of simulator.#controllers) await simulator.setController(address, "open");
      await simulator.#activate(simulator.#active);
      return simulator;
    } catch (error) {
      await simulator.close();
      throw error;
    }
  }

  /** Addresses of the controllers, in order. */
  get controllers(): readonly string[] {
    return this.#controllers.map(({ address }) => address);
  }

  get activeController(): string | undefined {
    return this.#active;
  }

  /** Where the controllers listen, or would when they are active: `http://` before `https://`. */
  get urls(): readonly string[] {
    return [
      ...this.#controllers.flatMap(({ plain }) => plain?.url ?? []),
      ...this.#controllers.flatMap(({ tls }) => tls?.url ?? []),
    ];
  }

  /** What the controller remembers, to look at and to arrange; see `check` afterwards. */
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

  /**
   * The controller loses a satellite or gets it back, for so many milliseconds or until it is said again. `linked`: whether
   * DRBD of that node reaches its peers, as it does while only the satellite is down; as `online` when absent.
   */
  async setNode(name: string, online: boolean, forMs?: number, linked = online): Promise<void> {
    const node = this.state.node(name);
    await this.#cluster.setOnline(node, online, linked);
    if (forMs !== undefined) this.#after(forMs, () => this.#cluster.setOnline(node, !online));
  }

  /** What is at one controller's address, whichever is active. */
  async setController(address: string, state: ListenerState): Promise<void> {
    const { plain, tls } = this.requireController(address);
    await plain?.set(state);
    await tls?.set(state);
  }

  /** Another controller becomes active some time after the active one has stopped; null: none. */
  async failover(to: string | null, afterMs = 0): Promise<void> {
    if (to !== null) this.requireController(to);
    const down = this.#activate(undefined);
    // From the first refusal on, so that whoever met that one can hurry it.
    if (to !== null && afterMs > 0) this.#after(afterMs, () => down.then(() => this.#activate(to)));
    await down;
    if (to !== null && afterMs === 0) await this.#activate(to);
  }

  /** No controller listens for so many milliseconds. */
  refuseConnections(forMs: number): Promise<void> {
    const to = this.#active ?? this.#controllers[0]?.address ?? null;
    return this.failover(to, forMs);
  }

  /** Says that a resource is open, whatever its device looks like. */
  setOpen(node: string, resource: string, as: Openness): void {
    const found = this.state.resource(this.state.definition(resource), node);
    found.said = as;
    // The satellite sees the change, and begins to tell it.
    isInUse(this.#cluster, found);
    this.#cluster.devices.look();
  }

  /** The device of a volume on a node, while its stable link is there. */
  device(node: string, resource: string, volume = 0): Device | undefined {
    const definition = this.state.definitions.get(resource);
    const found = definition && this.#cluster.devices.find(this.state.node(node).name, definition, volume);
    return found?.visible ? found : undefined;
  }

  /** Ends at once what takes time: clones, rollbacks, synchronization, nodes and controllers that are away. */
  async hurry(): Promise<void> {
    await this.#timers.hurry();
    await this.#cluster.hurry();
  }

  /** What is wrong inside, or was left by a driver: nothing, or one line each. */
  check(expected: Expected = {}): string[] {
    return problems(this.#cluster, expected);
  }

  /** Diskless resources that nobody has open. Not wrong: an active volume has one. */
  idle(): string[] {
    return idle(this.#cluster);
  }

  /** Ends everything: connections, waits, links, loop devices, files. */
  close(): Promise<void> {
    this.#closing ??= (async () => {
      this.#timers.clear();
      try {
        this.#active = undefined;
        for (const { plain, tls } of this.#controllers) {
          await plain?.close();
          await tls?.close();
        }
      } finally {
        await this.#cluster.close();
      }
    })();
    return this.#closing;
  }

  /** A controller by its address; throws for others. */
  requireController(address: string): Controller {
    const found = this.#controllers.find((one) => one.address === address);
    if (!found) throw new Error(`'${address}' is no controller of this simulator`);
    return found;
  }

  async #activate(active: string | undefined): Promise<void> {
    this.#active = active;
    for (const { address } of this.#controllers)
      if (address !== active) await this.setController(address, "refusing");
    if (active !== undefined) await this.setController(active, "open");
  }

  #after(ms: number, body: () => Promise<void>): void {
    this.#timers.after(ms, async () => {
      if (!this.#closing) await body().catch(() => undefined);
    });
  }

  async #serve(address: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = request.url ?? "/";
    try {
      if (url.startsWith("/sim/")) {
        const path = url.slice("/sim/".length);
        const answer = this.#control
          ? await control(this, request.method ?? "", path, request)
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
    const { entry, faults, run } = await this.#requests.receive(address, url, request);
    const has = (kind: string) => faults.some((fault) => fault.kind === kind);
    for (const { kind, ms, node } of faults) {
      if (kind === "delay") await sleep(ms);
      if (kind === "node-offline") await this.setNode(node ?? this.#anyNode(), false, ms);
    }
    if (has("reset-before") || has("hang") || has("bad-gateway")) {
      entry.outcome = "none";
      if (has("reset-before")) return reset(response);
      if (has("hang")) return;
      return send(response, text(502, "<html>Bad Gateway</html>"));
    }
    const open = url === "/health" || url === "/" || url.startsWith("/ui");
    const denied = open
      ? undefined
      : refusedAccess(this.#access, request.headers.authorization, this.#cluster.now());
    if (denied) entry.outcome = "denied";
    const answer = denied ?? (open ? this.#welcome(url, entry) : await run());
    const { status, text: words } = answer;
    this.#watch?.({ verb: entry.verb, url, body: entry.body, status, text: words });
    if (this.behaviour.replyMs > 0) await sleep(this.behaviour.replyMs);
    if (has("silent")) return;
    if (has("reset-after")) return reset(response);
    if (has("cut")) return sendHalf(response, answer);
    if (has("garbage")) return send(response, text(200, "<html>please wait</html>"));
    send(response, answer);
  }

  /** What is answered to everybody. */
  #welcome(url: string, entry: { outcome: string }): Answer {
    const healthy = url !== "/health" || this.behaviour.health === "ok";
    entry.outcome = healthy ? "ok" : "unhealthy";
    if (!healthy) return text(500, "Controller is not healthy: services are stopped\n");
    return text(200, url === "/health" ? "" : "LINSTOR REST server\n");
  }

  #anyNode(): string {
    return this.state.nodes.values()[0]?.name ?? "";
  }
}
