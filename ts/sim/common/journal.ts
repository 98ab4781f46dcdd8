// SPDX-License-Identifier: AGPL-3.0-or-later

/** What came in. */
export interface Incoming {
  readonly verb: string;
  /** Behind the API's prefix. */
  readonly path: string;
  /** Name of the request; faults are ordered by it. */
  readonly request: string;
  /** What was sent, or the query's document; undefined for nothing. */
  readonly body: unknown;
  /** Where it came in, for arrays with several addresses. */
  readonly address?: string;
}

/** One request, in the order of arrival. */
export interface JournalEntry extends Incoming {
  readonly number: number;
  /** Milliseconds since the start. */
  readonly at: number;
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
  readonly #secrets: string[] = [];

  /** `secrets` never get into the journal, wherever a client puts them. */
  constructor(secrets: readonly string[]) {
    for (const secret of secrets) this.hide(secret);
  }

  /** Keeps one more secret out of entries to come. */
  hide(secret: string): void {
    // As it looks inside JSON.
    if (secret !== "") this.#secrets.push(JSON.stringify(secret).slice(1, -1));
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

  begin(incoming: Incoming): JournalEntry {
    const entry: JournalEntry = {
      number: this.#next++,
      at: Math.round(performance.now() - this.#start),
      ...this.#clean(incoming),
      outcome: "pending",
      faults: [],
    };
    this.#entries.push(entry);
    if (this.#entries.length > longest) this.#entries.shift();
    return entry;
  }

  #clean(incoming: Incoming): Incoming {
    const shown = JSON.stringify(incoming);
    if (!this.#secrets.some((secret) => shown.includes(secret))) return incoming;
    const clean = this.#secrets.reduce((text, secret) => text.replaceAll(secret, "***"), shown);
    return JSON.parse(clean) as Incoming;
  }
}
