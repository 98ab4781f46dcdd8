// SPDX-License-Identifier: AGPL-3.0-or-later
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { RequestMemory } from "../common/context.js";

/** An intent that nobody came back for is forgotten after this, in milliseconds. */
const forgetAfterMs = 10 * 60 * 1000;

/** What a request was about to make. */
interface Intent {
  /** The array, as its driver's `domain`. */
  readonly domain: string;
  readonly volname: string;
}

/**
 * Remembers, across a crash of the service, which object each request under way is about to make.
 *
 * A client whose service died cannot know whether its request was carried out. It sends the request again with
 * the same token; the journal then tells whether an object that exists already is this request's own work. Kept
 * in small files beside the socket: the journal is of no use after a reboot, because no client outlives one.
 */
export class RequestJournal {
  readonly #intents = new Map<string, Intent>();

  /** Without `dir` the journal lives in memory only. */
  constructor(private readonly dir?: string) {
    if (dir === undefined) return;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    for (const token of readdirSync(dir)) this.#load(token);
  }

  /** Writes down that `token` is about to make `volname`; survives a kill of this process once it returns. */
  record(token: string, intent: Intent): void {
    this.#intents.set(token, intent);
    if (this.dir === undefined) return;
    const path = join(this.dir, token);
    writeFileSync(`${path}.new`, JSON.stringify(intent), { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }

  /** What an earlier attempt of the same request was about to make. */
  find(token: string): Intent | undefined {
    return this.#intents.get(token);
  }

  /** The names that requests other than `token` are about to make on an array. */
  othersIn(domain: string, token: string | undefined): string[] {
    return [...this.#intents]
      .filter(([other, intent]) => other !== token && intent.domain === domain)
      .map(([, intent]) => intent.volname);
  }

  /** The request was answered. */
  forget(token: string): void {
    if (this.#intents.delete(token) && this.dir !== undefined) rmSync(join(this.dir, token), { force: true });
  }

  #load(token: string): void {
    const path = join(this.dir ?? "", token);
    try {
      const age = Date.now() - statSync(path).mtimeMs;
      if (token.endsWith(".new") || age > forgetAfterMs) {
        rmSync(path, { force: true });
        return;
      }
      this.#intents.set(token, JSON.parse(readFileSync(path, "utf8")) as Intent);
      setTimeout(() => this.forget(token), forgetAfterMs - age).unref();
    } catch {
      // A file that says nothing is worth nothing.
      rmSync(path, { force: true });
    }
  }
}

/** One request's view of the journal. */
export class RequestRecord implements RequestMemory {
  constructor(
    private readonly journal: RequestJournal,
    readonly token: string | undefined,
  ) {}

  /** The name that an earlier attempt of this request was about to make. */
  previous(domain: string): string | undefined {
    if (this.token === undefined) return undefined;
    const intent = this.journal.find(this.token);
    return intent?.domain === domain ? intent.volname : undefined;
  }

  /** To be called right before the object is made. */
  intend(domain: string, volname: string): void {
    if (this.token !== undefined) this.journal.record(this.token, { domain, volname });
  }

  /** The names that are spoken for by other requests. */
  others(domain: string): string[] {
    return this.journal.othersIn(domain, this.token);
  }
}
