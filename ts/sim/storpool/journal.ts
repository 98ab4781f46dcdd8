// SPDX-License-Identifier: AGPL-3.0-or-later

/** One request, in the order of arrival. */
export interface JournalEntry {
  readonly number: number;
  /** Milliseconds since the start. */
  readonly at: number;
  readonly verb: string;
  /** Behind `/ctrl/1.0/`. */
  readonly path: string;
  /** Name of the request: the first part of the path. */
  readonly request: string;
  /** What was sent, or the query's `json`; undefined for nothing. */
  readonly body: unknown;
  /** `ok`, the name of the error, or `pending`. */
  outcome: string;
  /** Names of the faults that hit it. */
  faults: readonly string[];
}

/** More than any test needs; the oldest go. */
const longest = 50_000;

/** Every request, without secrets. */
export class Journal {
  #entries: JournalEntry[] = [];
  #next = 1;
  readonly #start = performance.now();
  readonly #secret: string;

  /** `secret` never gets into the journal, wherever a client puts it. */
  constructor(secret: string) {
    this.#secret = secret;
  }

  get entries(): readonly JournalEntry[] {
    return this.#entries;
  }

  /** The entries of some requests, such as `VolumeCreate`. */
  of(...requests: string[]): JournalEntry[] {
    return this.#entries.filter(({ request }) => requests.includes(request));
  }

  clear(): void {
    this.#entries = [];
  }

  begin(verb: string, path: string, body: unknown): JournalEntry {
    const clean = this.#clean(path);
    const entry: JournalEntry = {
      number: this.#next++,
      at: Math.round(performance.now() - this.#start),
      verb,
      path: clean,
      request: clean.split("/")[0] ?? "",
      body: this.#clean(body),
      outcome: "pending",
      faults: [],
    };
    this.#entries.push(entry);
    if (this.#entries.length > longest) this.#entries.shift();
    return entry;
  }

  #clean<T>(value: T): T {
    const text = JSON.stringify(value);
    if (text === undefined || this.#secret === "" || !text.includes(this.#secret)) return value;
    return JSON.parse(text.replaceAll(this.#secret, "***")) as T;
  }
}
