// SPDX-License-Identifier: AGPL-3.0-or-later
import { request } from "node:https";
import type { ExecutionContext } from "ava";
import { JovianSimulator, type SimulatorOptions } from "../../sim/joviandss/index.js";

export const mib = 1024 * 1024;
export const iqn = "iqn.2025-06.proxmox.pool-0:vm-100-0";

export interface Reply {
  readonly status: number;
  readonly text: string;
}

export interface ArrayAnswer {
  readonly class?: string;
  readonly errno?: number | string;
  readonly message?: string;
  readonly url?: string;
}

export type Row = Record<string, unknown>;

/** How a request differs from the usual one. */
export interface How {
  readonly address?: string;
  readonly password?: string;
  readonly version?: string;
  /** Trusts the simulator's certificate when absent. */
  readonly ca?: string;
}

/** A simulator and one request function per need. */
export class Session {
  constructor(readonly sim: JovianSimulator) {}

  /** One request on a connection of its own; rejects with the system's error when it breaks. */
  raw(verb: string, path: string, body?: unknown, how: How = {}): Promise<Reply> {
    const { address = "127.0.0.1", password = this.sim.password, version = "v4" } = how;
    const document = body === undefined ? "" : JSON.stringify(body);
    const options = {
      host: address,
      port: this.sim.port,
      method: verb,
      path: path.startsWith("/") ? path : `/api/${version}/${path}`,
      auth: `${this.sim.user}:${password}`,
      ca: how.ca ?? this.sim.certificate,
      // Node sends no length by itself with DELETE, and without it a body is another request.
      headers: { "content-length": Buffer.byteLength(document), "content-type": "application/json" },
      agent: false,
    };
    return new Promise((resolve, reject) => {
      const sent = request(options, (answer) => {
        let text = "";
        answer.setEncoding("utf8");
        answer.on("data", (part: string) => {
          text += part;
        });
        answer.on("end", () => resolve({ status: answer.statusCode ?? 0, text }));
        answer.on("error", reject);
      });
      sent.on("error", reject);
      sent.end(document);
    });
  }

  /** A request below the pool that succeeds; gives its data, undefined where there was no body. */
  async ask<T = Row>(verb: string, path: string, body?: unknown, how?: How): Promise<T> {
    const { status, text } = await this.raw(
      verb,
      path === "" ? "pools/Pool-0" : `pools/Pool-0/${path}`,
      body,
      how,
    );
    if (status >= 300) throw new Error(`${verb} ${path}: ${status} ${text}`);
    return (text === "" ? undefined : (JSON.parse(text) as { data: T }).data) as T;
  }

  /** A request below the pool that is refused; gives HTTP status and error. */
  async refused(
    verb: string,
    path: string,
    body?: unknown,
    how?: How,
  ): Promise<ArrayAnswer & { status: number }> {
    const { status, text } = await this.raw(verb, `pools/Pool-0/${path}`, body, how);
    const { error, data } = JSON.parse(text) as { error: ArrayAnswer | null; data: unknown };
    if (!error || data !== null) throw new Error(`${verb} ${path} was not refused: ${status} ${text}`);
    return { ...error, status };
  }

  async volume(name: string, more: Row = {}): Promise<void> {
    await this.ask("POST", "volumes", { name, size: String(mib), sparse: true, ...more });
  }

  async snapshot(volume: string, name: string): Promise<void> {
    await this.ask("POST", `volumes/${volume}/snapshots`, { snapshot_name: name });
  }

  async clone(volume: string, snapshot: string, name: string): Promise<void> {
    await this.ask("POST", `volumes/${volume}/clone`, { name, snapshot, sparse: true });
  }

  async target(name = iqn, more: Row = {}): Promise<void> {
    await this.ask("POST", "san/iscsi/targets", { name, active: true, ...more });
  }

  async attach(volume: string, lun?: number, target = iqn): Promise<Row> {
    const body = { name: volume, ...(lun === undefined ? {} : { lun }) };
    return this.ask("POST", `san/iscsi/targets/${target}/luns`, body);
  }

  /** The rows of a list in either form. */
  async rows(path: string): Promise<Row[]> {
    const data = await this.ask<Row[] | { entries: Row[] }>("GET", path);
    return Array.isArray(data) ? data : data.entries;
  }
}

/** Starts a simulator for one test. */
export async function session(t: ExecutionContext, options: SimulatorOptions = {}): Promise<Session> {
  const sim = await JovianSimulator.start(options);
  t.teardown(() => sim.close());
  return new Session(sim);
}
