// SPDX-License-Identifier: AGPL-3.0-or-later

/** Limits of requests to an array, in milliseconds. */
export interface TransportLimits {
  readonly connectMs: number;
  readonly queryMs: number;
  readonly commandMs: number;
  /** All attempts of a probe together; PVE waits five seconds for the state of a storage. */
  readonly probeMs: number;
  /** A query, or a probe, that is unanswered for so long is sent once more by another connection. */
  readonly querySilenceMs: number;
  readonly probeSilenceMs: number;
  /** Pauses before the second and further attempts; where there are several addresses, after all of them were asked. */
  readonly pausesMs: readonly number[];
}
