// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Logger } from "./log.js";

/** What every verb gets: when to stop, and where to say what happened. */
export interface Context {
  /** Aborts when the deadline is over, the client is gone or the service stops. */
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** Is told of each attempt of a request to an array: its outcome in a word, and the milliseconds it took. */
  readonly onRequest?: (outcome: string, ms: number) => void;
  /**
   * Throws the error of an array that was silent a moment ago: for whoever can go on without its answer, and need not wait
   * for the same silence once more.
   */
  readonly unlessSilent?: () => void;
  /** What this request was about to make when the service died under an earlier attempt of it. */
  readonly request?: RequestMemory;
}

/** Memory of a request across a restart of the service, see the request journal. */
export interface RequestMemory {
  previous(domain: string): string | undefined;
  intend(domain: string, name: string): void;
  others(domain: string): string[];
}

/** The name under which this node is known to arrays and in leftovers on shared storage. */
export interface Host {
  readonly name: string;
  /** Nothing is written here, no log of a storage either: this process only looks. */
  readonly looksOnly?: boolean;
}

/** The longest time for a usual creation with all its attempts, in milliseconds. */
const creationMs = 120_000;

/**
 * A creation is not torn apart when its caller goes away: the array may carry it out when nobody looks any more. It runs
 * to its own end, after `limitMs` milliseconds at the latest, and whoever called takes it back. Throws the reason when the
 * caller is gone already.
 */
export function steady(ctx: Context, limitMs = creationMs): Context {
  ctx.signal.throwIfAborted();
  return afterwards(ctx, limitMs);
}

/** For work that has to be done although the caller may be gone, such as an undo: `limitMs` milliseconds of its own. */
export function afterwards(ctx: Context, limitMs: number): Context {
  return { ...ctx, signal: AbortSignal.timeout(limitMs) };
}
