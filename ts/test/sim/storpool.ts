// SPDX-License-Identifier: AGPL-3.0-or-later
import { request } from "node:http";
import type { ExecutionContext } from "ava";
import { type SimulatorOptions, StorPoolSimulator } from "../../sim/storpool/index.js";

export const mib = 1024 * 1024;

/** What came back: HTTP status and text. */
export interface Reply {
  readonly status: number;
  readonly text: string;
}

interface Envelope {
  readonly generation: number;
  readonly data?: unknown;
  readonly error?: { readonly name: string; readonly descr: string; readonly transient: boolean };
}

export type Row = Record<string, unknown>;

/** A simulator and one request function per need. It is closed, and must be sound, when the test ends. */
export class Session {
  readonly sim: StorPoolSimulator;

  constructor(sim: StorPoolSimulator) {
    this.sim = sim;
  }

  /** One request on a connection of its own; rejects with the system's error when it breaks. */
  raw(verb: string, path: string, body?: unknown, authorization?: string): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const headers = { authorization: authorization ?? `Storpool v1:${this.sim.token}` };
      const url = path.startsWith("/") ? `${this.sim.url}${path}` : `${this.sim.url}/ctrl/1.0/${path}`;
      const sent = request(url, { method: verb, headers, agent: false }, (answer) => {
        let text = "";
        answer.setEncoding("utf8");
        answer.on("data", (part: string) => {
          text += part;
        });
        answer.on("end", () => resolve({ status: answer.statusCode ?? 0, text }));
        answer.on("error", reject);
      });
      sent.on("error", reject);
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  async envelope(verb: string, path: string, body?: unknown): Promise<Envelope> {
    return JSON.parse((await this.raw(verb, path, body)).text) as Envelope;
  }

  /** A query; throws the error's name and text. */
  async get<T = Row[]>(path: string): Promise<T> {
    return unpacked<T>(await this.envelope("GET", path));
  }

  /** A command; throws the error's name and text. */
  async post<T = Row>(path: string, body: unknown = {}): Promise<T> {
    return unpacked<T>(await this.envelope("POST", path, body));
  }

  /** Makes an unnamed volume and says its global id. */
  async volume(more: Row = {}): Promise<string> {
    const made = await this.post("VolumeCreate", { template: "nvme", size: mib, ...more });
    return String(made["globalId"]);
  }

  /** Makes a copy of something and says its global id. */
  async copy(more: Row): Promise<string> {
    return String((await this.post("VolumeCreate", more))["globalId"]);
  }

  async snapshot(volume: string, more: Row = {}): Promise<string> {
    return String((await this.post(`VolumeSnapshot/~${volume}`, more))["snapshotGlobalId"]);
  }

  /** One entry of `VolumesReassignWait`. */
  async reassign(entry: Row, attachTimeout?: number): Promise<void> {
    await this.post("VolumesReassignWait", {
      reassign: [entry],
      ...(attachTimeout === undefined ? {} : { attachTimeout }),
    });
  }

  /** The only row of `Volume/` or `Snapshot/`. */
  async row(kind: "Volume" | "Snapshot", globalId: string): Promise<Row> {
    const rows = await this.get(`${kind}/~${globalId}`);
    if (rows.length !== 1 || !rows[0]) throw new Error(`${rows.length} rows`);
    return rows[0];
  }
}

function unpacked<T>({ data, error }: Envelope): T {
  if (error) throw new Error(`${error.name}: ${error.descr}`);
  return data as T;
}

/** Starts a simulator for one test. */
export async function session(t: ExecutionContext, options: SimulatorOptions = {}): Promise<Session> {
  const sim = await StorPoolSimulator.start(options);
  t.teardown(() => sim.close());
  return new Session(sim);
}
