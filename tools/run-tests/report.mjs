// SPDX-License-Identifier: AGPL-3.0-or-later
// The closing table, and the one line that other programs read.

const SHOWN_FAILURES = 20; // of a suite; its log has them all

const line = (cells) =>
  `${cells[0].padEnd(16)}${cells
    .slice(1, 5)
    .map((cell) => String(cell).padStart(9))
    .join("")}  ${cells[5] ?? ""}`;

export function totals(results) {
  const ran = results.filter((result) => result.leftOut === undefined);
  const counted = ran.filter((result) => !result.onlyFailuresCount);
  return {
    passed: counted.reduce((sum, { passed }) => sum + passed, 0),
    failed: ran.reduce((sum, { failed }) => sum + failed, 0),
  };
}

function failedLines({ name, failed, note, failures = [] }) {
  if (!failed) return [];
  const shown = failures.slice(0, SHOWN_FAILURES);
  const more = failures.length - shown.length;
  if (shown.length === 0) shown.push(note ?? "no test is named");
  if (more > 0) shown.push(`and ${more} more: build/test-logs/${name}.log`);
  return shown.map((failure) => `failed: ${name}: ${failure}`);
}

export function report(results) {
  const rows = results
    .filter((result) => result.leftOut === undefined)
    .map((r) =>
      line([r.name, r.passed, r.failed, r.skipped, `${r.seconds.toFixed(1)} s`, r.note ?? ""]).trimEnd(),
    );
  const leftOut = results
    .filter((r) => r.leftOut !== undefined)
    .map((r) => `left out: ${r.name}: ${r.leftOut}`);
  const skipped = results.flatMap((r) =>
    [...new Set(r.reasons ?? [])].map((reason) => `skipped: ${r.name}: ${reason}`),
  );
  // Last, where whoever sees the end of a long log finds them.
  const failed = results.flatMap((r) => failedLines(r));
  return [
    line(["suite", "passed", "failed", "skipped", "time"]).trimEnd(),
    ...rows,
    ...leftOut,
    ...skipped,
    ...failed,
  ].join("\n");
}

export const totalLine = ({ passed, failed }) => `${passed} passed, ${failed} failed`;
