// SPDX-License-Identifier: AGPL-3.0-or-later
import { setTimeout as sleep } from "node:timers/promises";
import type { NoReply } from "./exchange.js";

/**
 * Sends a query, and once more when it stays unanswered for `afterMs`: the host it went to may have died, while a slow
 * one goes on with the first. Both end within `limitMs`; the first answer counts. `send` must make a new connection.
 */
export async function hedged<O extends { readonly kind: string }>(
  send: (signal: AbortSignal, limitMs: number, again: boolean) => Promise<O | NoReply>,
  times: { readonly afterMs: number; readonly limitMs: number; readonly onSilence: () => void },
  signal: AbortSignal,
): Promise<O | NoReply> {
  const { afterMs, limitMs, onSilence } = times;
  if (limitMs <= afterMs) return send(signal, limitMs, false);
  const done = new AbortController();
  const either = AbortSignal.any([signal, done.signal]);
  try {
    const first = send(either, limitMs, false);
    const early = await Promise.race([first, sleep(afterMs, undefined, { signal: either }).catch(() => {})]);
    if (early) return early;
    onSilence();
    const second = send(either, limitMs - afterMs, true);
    const winner = await Promise.race([first, second]);
    if (answered(winner)) return winner;
    const results = await Promise.all([first, second]);
    return results.find(answered) ?? winner;
  } finally {
    done.abort();
  }
}

function answered({ kind }: { readonly kind: string }): boolean {
  return kind !== "refused" && kind !== "lost" && kind !== "aborted";
}
