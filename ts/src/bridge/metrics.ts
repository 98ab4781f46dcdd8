// SPDX-License-Identifier: AGPL-3.0-or-later
import { Meter } from "../common/meter.js";

/** What a finished stream says of itself. */
export interface StreamReport {
  readonly direction: "export" | "import";
  readonly ended: "done" | "failed";
  /** Payload. */
  readonly bytes: number;
  readonly seconds: number;
}

type Running = "call" | "connection" | StreamReport["direction"];

/** The metrics of one service; each begins with `pve_blockio_`. */
export class Metrics {
  readonly #meter = new Meter();
  readonly #calls = this.#meter.counter(
    "pve_blockio_calls_total",
    "Calls of methods by result: ok, or the error's code.",
  );
  readonly #seconds = this.#meter.histogram("pve_blockio_call_seconds", "Time from a call to its answer.");
  readonly #requests = this.#meter.counter(
    "pve_blockio_array_requests_total",
    "Requests to arrays by outcome: data, error, or why there was no answer.",
  );
  readonly #requestSeconds = this.#meter.histogram(
    "pve_blockio_array_request_seconds",
    "Time from a request to an array to its outcome.",
  );
  readonly #streams = this.#meter.counter(
    "pve_blockio_streams_total",
    "Exports and imports that have ended.",
  );
  readonly #bytes = this.#meter.counter("pve_blockio_stream_bytes_total", "Payload of exports and imports.");
  readonly #streamSeconds = this.#meter.counter(
    "pve_blockio_stream_seconds_total",
    "Time that exports and imports took.",
  );
  readonly #running = { call: 0, export: 0, import: 0, connection: 0 };

  constructor(version: string, node: string) {
    const meter = this.#meter;
    meter.gauge("pve_blockio_info", "Version of the service; always 1.", () => [[{ version, node }, 1]]);
    meter.gauge(
      "pve_blockio_start_time_seconds",
      "When the service was started, seconds since the epoch.",
      () => started,
    );
    meter.gauge("pve_blockio_calls_running", "Calls that are being worked on.", () => this.#running.call);
    meter.gauge("pve_blockio_streams_running", "Exports and imports under way.", () => [
      [{ direction: "export" }, this.#running.export],
      [{ direction: "import" }, this.#running.import],
    ]);
    meter.gauge("pve_blockio_connections", "Clients that are connected.", () => this.#running.connection);
    meter.gauge("pve_blockio_resident_memory_bytes", "Memory of the service.", () =>
      process.memoryUsage.rss(),
    );
    const cpu = () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    };
    meter.gauge("pve_blockio_cpu_seconds_total", "Processor time of the service.", cpu, "counter");
  }

  /** A call has begun; the function says how it ended. */
  call(method: string, storeid: string | undefined): (result: string) => void {
    const begun = performance.now();
    const labels = { storage: storeid ?? "", method };
    const leave = this.#enter("call");
    return (result) => {
      leave();
      this.#calls({ ...labels, result });
      this.#seconds(labels, (performance.now() - begun) / 1000);
    };
  }

  /** One attempt of a request to an array. */
  request(storeid: string | undefined, outcome: string, ms: number): void {
    this.#requests({ storage: storeid ?? "", outcome });
    this.#requestSeconds({ storage: storeid ?? "" }, ms / 1000);
  }

  /** A stream has begun; the function is to be called when its connection ends. */
  stream(direction: StreamReport["direction"]): () => void {
    return this.#enter(direction);
  }

  /** What the process of a stream said at its end. */
  streamEnded(storeid: string | undefined, { direction, ended, bytes, seconds }: StreamReport): void {
    const labels = { storage: storeid ?? "", direction };
    this.#streams({ ...labels, result: ended });
    this.#bytes(labels, bytes);
    this.#streamSeconds(labels, seconds);
  }

  /** A client has connected; the function is to be called when it has gone. */
  connection(): () => void {
    return this.#enter("connection");
  }

  text(): string {
    return this.#meter.text();
  }

  #enter(what: Running): () => void {
    this.#running[what]++;
    return () => {
      this.#running[what]--;
    };
  }
}

const started = Math.round(Date.now() / 1000 - process.uptime());
