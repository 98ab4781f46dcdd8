// SPDX-License-Identifier: AGPL-3.0-or-later
// What a finished suite is worth. A suite is believed only when count and exit status agree.

/** Exit status by which one of our own suites may say that it cannot run here. */
export const LEFT_OUT = 77;

const failure = (counts, note) => ({ ...counts, failed: Math.max(counts.failed, 1), note });

// A suite leaves itself out by that status or by skipping every test, and always with a reason.
function reasonToLeaveOut({ status, text }, { skipped }) {
  if (status !== LEFT_OUT && !(status === 0 && skipped > 0)) return undefined;
  return [...text.matchAll(/^(?:skip|left out): (.+)$/gm)].at(-1)?.[1];
}

/**
 * @param {{status: number | null, signal: string | null, timedOut: boolean, text: string}} run
 * @param {(text: string) => object | undefined} read a reader of counts.mjs
 */
export function verdict(run, read) {
  const counts = read(run.text) ?? { passed: 0, failed: 0, skipped: 0, reasons: [] };
  if (run.timedOut) return failure(counts, "took too long and was ended");
  if (run.signal !== null) return failure(counts, `ended by ${run.signal}`);
  if (counts.passed + counts.failed === 0) {
    const reason = reasonToLeaveOut(run, counts);
    return reason === undefined ? failure(counts, "no test was run") : { leftOut: reason };
  }
  if (run.status !== 0 && counts.failed === 0) return failure(counts, `exit status ${run.status}`);
  if (run.status === 0 && counts.failed > 0) return { ...counts, note: "exit status 0 despite failures" };
  return counts;
}
