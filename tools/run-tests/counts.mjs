// SPDX-License-Identifier: AGPL-3.0-or-later
// Reads what a suite printed: how many tests passed, failed, were skipped, and why, and which failed.
// Each reader returns undefined when it finds no count at all, which the runner treats as a failure.

const sum = (numbers) => numbers.reduce((total, number) => total + Number(number), 0);

function lastMatch(text, pattern) {
  return [...text.matchAll(pattern)].at(-1);
}

// Of TAP, `prove`, `cargo test`, `node --test` and our own linters. A description may hold what differed: one line of it will do.
const FAILURE =
  /^\s*(?:not ok(?: \d+)?(?: - )?|#\s+Failed test |FAILED\s+|✖ (?!failing tests:))(.*)$|^test (.+) \.\.\. FAILED$/gm;

/** The names of the tests that failed, each once, in the order in which they did. */
export function failuresIn(text) {
  const names = [...text.matchAll(FAILURE)].map((match) => (match[1] ?? match[2]).trim());
  return [...new Set(names)];
}

/** `cargo test`: one result line per test binary. */
export function fromCargo(text) {
  const results = [...text.matchAll(/^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;/gm)];
  if (results.length === 0) return undefined;
  const reasons = [...text.matchAll(/^test .* \.\.\. ignored, (.+)$/gm)].map((match) => match[1]);
  return {
    passed: sum(results.map((match) => match[1])),
    failed: sum(results.map((match) => match[2])),
    skipped: sum(results.map((match) => match[3])),
    reasons,
  };
}

/** The closing `# pass N`, `# fail N` lines that ava writes below its TAP; `node --test` marks the same lines with ℹ. */
export function fromTap(text) {
  const count = (names) => lastMatch(text, new RegExp(`^[#ℹ] (?:${names}) (\\d+)$`, "gm"))?.[1];
  const passed = count("pass");
  const failed = count("fail");
  if (passed === undefined || failed === undefined) return undefined;
  // ava has no reasons; our suites put them into the title: "a title [not asked: reason] # SKIP".
  const skipped = [...text.matchAll(/^\s*ok \d+.*? (?:\[[^\]:]*: ([^\]]+)\] )?# SKIP ?(.*)$/gm)];
  const reasons = skipped.map((match) => match[1] || match[2] || "no reason given");
  return {
    passed: Number(passed),
    failed: Number(failed),
    skipped: Number(count("skip|skipped") ?? 0),
    reasons,
  };
}

/** The line all our own suites end with; reasons stand in lines `skip: reason`, `left out: reason` or `... # SKIP reason`. */
export function fromLastLine(text) {
  const last = text.trimEnd().split("\n").at(-1) ?? "";
  const match = /^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/.exec(last);
  if (match === null) return undefined;
  const reasons = [...text.matchAll(/(?:^skip: |^left out: | # SKIP )(.+)$/gm)].map((line) => line[1]);
  return {
    passed: Number(match[1]),
    failed: Number(match[2]),
    skipped: Number(match[3] ?? reasons.length),
    reasons,
  };
}
