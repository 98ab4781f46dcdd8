// SPDX-License-Identifier: AGPL-3.0-or-later
import { once } from "node:events";
import type { Socket } from "node:net";
import { StringDecoder } from "node:string_decoder";
import { BlockioError, fail, wrap } from "../common/errors.js";
import type { Logger } from "../common/log.js";
import type { Storages } from "../plugin/storage.js";
import type { Leases } from "../plugin/stream.js";
import { dispatch, isBrief } from "./dispatch.js";
import { maxLineBytes, workingIntervalMs } from "./limits.js";
import type { Metrics } from "./metrics.js";
import { type Reply, type Request, requestSchema } from "./protocol.js";
import { type AboutService, serviceMethods } from "./service-methods.js";

/** How long the undo of an abandoned import may take, in milliseconds. */
const abandonLimitMs = 60_000;

/** Serves one client until it hangs up; then takes back what it left unfinished. */
export class Connection {
  readonly #leases: Leases = new Map();
  readonly #gone = new AbortController();
  readonly #decoder = new StringDecoder("utf8");
  readonly #calls = new Set<Promise<void>>();
  /** What goes on although its call was answered. */
  readonly #work = new Set<Promise<void>>();
  /** The requests that are being worked on. */
  readonly #working = new Set<number>();
  /** Ends what is counted as long as the client is there. */
  readonly #counted: (() => void)[] = [];
  #buffer = "";
  #stopping = false;
  /** Settles when the client is gone and everything of it has ended. */
  readonly ended: Promise<void>;

  constructor(
    private readonly socket: Socket,
    private readonly storages: Storages,
    private readonly service: AboutService,
    private readonly log: Logger,
  ) {
    this.#counted.push(service.metrics.connection());
    this.ended = new Promise((resolve) => {
      socket.once("close", () => {
        this.#gone.abort(fail("timeout", "the caller hung up"));
        for (const end of this.#counted.splice(0)) end();
        void this.#abandon().then(resolve);
      });
    });
    socket.on("error", (error) => log.debug("connection failed", { error }));
    socket.on("data", (chunk) => this.#receive(chunk));
    socket.on("end", () => {
      // A client that half-closes has sent all it wants to; it still gets its answers. One that has died looks the
      // same until something is sent to it.
      for (const id of this.#working) this.#send({ id, working: true });
      void Promise.allSettled(this.#calls).then(() => socket.end());
    });
  }

  /**
   * Because the service ends: from now on only brief calls are begun, see {@link isBrief}. Others wait for the next
   * service: their client hears that they are worked on until this one hangs up, and then sends them again. Settles
   * when the calls under way have been answered.
   */
  async finish(): Promise<void> {
    this.#stopping = true;
    await Promise.allSettled(this.#calls);
  }

  /** Hangs up because the service ends: imports go on without it, so nothing is taken back. */
  leave(): void {
    this.#leases.clear();
    this.socket.destroySoon();
  }

  #receive(chunk: Buffer): void {
    this.#buffer += this.#decoder.write(chunk);
    if (this.#buffer.length > maxLineBytes && !this.#buffer.includes("\n")) {
      this.#send({
        id: 0,
        error: { code: "invalid", message: `a request is longer than ${maxLineBytes} bytes` },
      });
      this.socket.destroySoon();
      return;
    }
    const lines = this.#buffer.split("\n");
    this.#buffer = lines.pop() ?? "";
    for (const line of lines) {
      if (line.trim() === "") continue;
      const call = this.#handle(line).finally(() => this.#calls.delete(call));
      this.#calls.add(call);
    }
  }

  async #handle(line: string): Promise<void> {
    let id = 0;
    let working: NodeJS.Timeout | undefined;
    try {
      const request = parseRequest(line);
      id = request.id;
      const about = Object.hasOwn(serviceMethods, request.method)
        ? serviceMethods[request.method]
        : undefined;
      if (about) {
        this.#send({ id, result: about(this.service, request) });
        return;
      }
      this.#working.add(id);
      working = setInterval(() => this.#send({ id, working: true }), workingIntervalMs);
      if (this.#stopping && !isBrief(request.method)) {
        await once(this.socket, "close");
        return;
      }
      const result = await dispatch(this.storages, request, {
        leases: this.#leases,
        signal: this.#gone.signal,
        log: this.log,
        metrics: this.#metrics,
        track: (work) => {
          this.#work.add(work);
          void work.then(() => this.#work.delete(work));
        },
      });
      if (request.method === "volume_export") this.#counted.push(this.#metrics.stream("export"));
      if (request.method === "volume_import") this.#counted.push(this.#metrics.stream("import"));
      this.#send({ id, result });
    } catch (error) {
      const { code, message } = error instanceof BlockioError ? error : wrap(error, "bridge");
      this.#send({ id, error: { code, message } });
    } finally {
      clearInterval(working);
      this.#working.delete(id);
    }
  }

  get #metrics(): Metrics {
    return this.service.metrics;
  }

  #send(reply: Reply): void {
    if (!this.socket.destroyed && this.socket.writable) this.socket.write(`${JSON.stringify(reply)}\n`);
  }

  async #abandon(): Promise<void> {
    await Promise.allSettled(this.#calls);
    await Promise.allSettled(this.#work);
    for (const [token, lease] of this.#leases) {
      this.#leases.delete(token);
      const ctx = { signal: AbortSignal.timeout(abandonLimitMs), log: this.log };
      try {
        const release = await lease.storage.lockGuests(lease.vmids, ctx.signal);
        await lease.abandon(ctx).finally(release);
        this.log.info("took back an unfinished import", { storeid: lease.storage.storeid });
      } catch (error) {
        this.log.error("could not take back an unfinished import", { storeid: lease.storage.storeid, error });
      }
    }
  }
}

function parseRequest(line: string): Request {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    throw fail("invalid", "a request is not valid JSON");
  }
  const parsed = requestSchema.safeParse(json);
  if (!parsed.success) {
    throw fail(
      "invalid",
      `a request is malformed: ${parsed.error.issues.map((i) => i.path.join(".")).join(", ")}`,
    );
  }
  return parsed.data;
}
