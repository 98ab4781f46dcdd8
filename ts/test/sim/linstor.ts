// SPDX-License-Identifier: AGPL-3.0-or-later
import { request } from "node:http";
import type { ExecutionContext } from "ava";
import { LinstorSimulator, type SimulatorOptions } from "../../sim/linstor/index.js";

export const gib = 1024 * 1024;

export type Row = Record<string, unknown>;

/** One entry of a reply, with its code as it was written. */
export interface Entry {
  readonly ret_code: bigint;
  readonly message: string;
  readonly [member: string]: unknown;
}

/** What came back. */
export interface Reply {
  readonly status: number;
  readonly text: string;
  readonly headers: Record<string, string | string[] | undefined>;
}

/** A simulator and one request function per need. */
export class Session {
  constructor(readonly sim: LinstorSimulator) {}

  /** One request on a connection of its own; rejects with the system's error when it breaks. */
  raw(verb: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Reply> {
    const [base = ""] = this.sim.urls;
    return new Promise((resolve, reject) => {
      const sent = request(`${base}${path}`, { method: verb, headers, agent: false }, (answer) => {
        let text = "";
        answer.setEncoding("utf8");
        answer.on("data", (part: string) => {
          text += part;
        });
        answer.on("end", () => resolve({ status: answer.statusCode ?? 0, text, headers: answer.headers }));
        answer.on("error", reject);
      });
      sent.on("error", reject);
      sent.end(body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body));
    });
  }

  /** A query's data; throws the first error. */
  async get<T = Row[]>(path: string): Promise<T> {
    const { status, text } = await this.raw("GET", `/v1/${path}`);
    if (status !== 200) throw new Error(`${status} ${text}`);
    return JSON.parse(text) as T;
  }

  /** Status and entries of a mutation, whatever they are. */
  async say(verb: string, path: string, body?: unknown): Promise<{ status: number; entries: Entry[] }> {
    const { status, text } = await this.raw(verb, `/v1/${path}`, body);
    return { status, entries: entriesOf(text) };
  }

  /** A mutation that succeeds; throws status and the first error's code and text. */
  async do(verb: string, path: string, body?: unknown): Promise<Entry[]> {
    const { status, entries } = await this.say(verb, path, body);
    if (status >= 300) throw new Error(problemOf(status, entries));
    return entries;
  }

  /** Spawns a definition with a volume of so many KiB; replicas by the group. */
  async spawn(name: string, size = 8192, more: Row = {}, group = "rg1"): Promise<void> {
    await this.do("POST", `resource-groups/${group}/spawn`, {
      resource_definition_name: name,
      volume_sizes: [size],
      ...more,
    });
  }

  /** Nodes of a definition, each with its kind. */
  async placed(name: string): Promise<Record<string, string>> {
    const rows = await this.rows(name);
    return Object.fromEntries(
      rows.map((row) => {
        const flags = (row["flags"] ?? []) as string[];
        const kind = flags.includes("TIE_BREAKER")
          ? "tie-breaker"
          : flags.includes("DISKLESS")
            ? "diskless"
            : "disk";
        return [row["node_name"], kind];
      }),
    );
  }

  async rows(name: string): Promise<Row[]> {
    return this.get(`view/resources?resources=${name}`);
  }

  /** Members of a definition. */
  async definition(name: string): Promise<Row> {
    return this.get<Row>(`resource-definitions/${name}`);
  }

  /** The only volume of the row on a node. */
  async volume(name: string, node: string): Promise<Row> {
    const row = (await this.rows(name)).find((one) => one["node_name"] === node);
    const [volume] = (row?.["volumes"] ?? []) as Row[];
    if (!volume) throw new Error(`no volume of ${name} on ${node}`);
    return volume;
  }
}

/** Entries with their codes as they were written. */
export function entriesOf(text: string): Entry[] {
  const exact = text.replaceAll(/"ret_code":(-?[0-9]+)/g, '"ret_code":"$1"');
  return (JSON.parse(exact) as Row[]).map(
    (row) => ({ ...row, ret_code: BigInt(String(row["ret_code"])) }) as Entry,
  );
}

const codeBits = 0x7fffn;

/** The number that a code carries. */
export function codeOf({ ret_code }: Entry): number {
  return Number(BigInt.asUintN(64, ret_code) & codeBits);
}

export function severityOf({ ret_code }: Entry): string {
  return ["success", "info", "warning", "error"][Number(BigInt.asUintN(64, ret_code) >> 62n)] ?? "";
}

function problemOf(status: number, entries: readonly Entry[]): string {
  const error = entries.find((entry) => severityOf(entry) === "error");
  return error ? `${status} ${codeOf(error)} ${error.message}` : String(status);
}

/** Starts a simulator for one test. */
export async function session(t: ExecutionContext, options: SimulatorOptions = {}): Promise<Session> {
  const sim = await LinstorSimulator.start(options);
  t.teardown(() => sim.close());
  return new Session(sim);
}
