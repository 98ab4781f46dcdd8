// SPDX-License-Identifier: AGPL-3.0-or-later
import type { IncomingMessage } from "node:http";
import { type Answer, bodyText, text } from "../common/exchange.js";
import type { Journal, JournalEntry } from "../common/journal.js";
import type { LinstorCluster } from "./cluster.js";
import { special } from "./codes.js";
import type { Fault, Faults } from "./faults.js";
import { exactAnswer } from "./json.js";
import { Replies, refuse, shownEntries } from "./replies.js";
import { routeOf } from "./routes.js";

const prefix = "/v1/";

/** A request that was read: what goes wrong with it, and how it is carried out. */
export interface Received {
  readonly entry: JournalEntry;
  readonly faults: readonly Fault[];
  /** Notes the outcome. */
  run(): Promise<Answer>;
}

/** Leads requests to their routes, and writes the journal. */
export class Requests {
  constructor(
    private readonly cluster: LinstorCluster,
    private readonly journal: Journal,
    private readonly faults: Faults,
  ) {}

  async receive(address: string, url: string, request: IncomingMessage): Promise<Received> {
    const verb = request.method ?? "";
    const [path = "", query = ""] = url.split("?", 2);
    const found = path.startsWith(prefix) ? routeOf(verb, path.slice(prefix.length)) : undefined;
    const words = await bodyText(request);
    const sent = parsed(words);
    const name = found?.route.name ?? (path === "/health" ? "health" : "unknown");
    const shown = url.startsWith(prefix) ? url.slice(prefix.length) : url;
    const entry = this.journal.begin({
      verb,
      path: shown,
      request: name,
      body: sent.value ?? sent.words,
      address,
    });
    const faults = this.faults.of(name, { mutation: verb !== "GET" });
    entry.faults = faults.map(({ kind }) => kind);
    const run = async (): Promise<Answer> => {
      if (!found) return text(404, "Not Found\n");
      const failing = faults.find(({ kind }) => kind === "error");
      if (failing) return this.#refused(entry, failing.message);
      if (sent.problem !== undefined) return this.#unreadable(entry, sent.problem);
      const given = { at: found.at, query: new URLSearchParams(query), body: sent.value };
      const { status, data, out } = await this.cluster.run(found.route, given);
      entry.outcome = out?.outcome ?? "ok";
      const late = faults.find(({ kind }) => kind === "late-error");
      if (late && entry.outcome === "ok")
        return this.#refused(entry, late.message, "ok, but reported as failed");
      if (!out || data !== undefined) return exactAnswer(status, data);
      return exactAnswer(status, shownEntries(out.entries, this.#time()));
    };
    return { entry, faults, run };
  }

  /** An error of the service that has nothing to do with the request. */
  #refused(entry: JournalEntry, message: string, outcome = "error"): Answer {
    const out = new Replies("none", "none");
    out.refused(refuse("unknownError", message, { reports: ["663A2241-F21CA-000052"] }));
    entry.outcome = outcome;
    return exactAnswer(500, shownEntries(out.entries, this.#time()));
  }

  #unreadable(entry: JournalEntry, details: string): Answer {
    const out = new Replies("none", "none");
    out.refused(refuse(special.parseError, "Unable to parse input json.", { details }));
    entry.outcome = out.outcome;
    return exactAnswer(400, shownEntries(out.entries, this.#time()));
  }

  #time(): string {
    return new Date(this.cluster.now()).toISOString();
  }
}

interface Sent {
  readonly words?: string;
  readonly value?: unknown;
  readonly problem?: string;
}

function parsed(words: string | undefined): Sent {
  if (words === undefined) return { problem: "the body is too large" };
  if (words === "") return {};
  try {
    return { value: JSON.parse(words) as unknown };
  } catch {
    return { words, problem: "the body is no JSON" };
  }
}
