// SPDX-License-Identifier: AGPL-3.0-or-later
import assert from "node:assert/strict";
import { test } from "node:test";
import { report } from "../report.mjs";

const ran = { passed: 3, failed: 0, skipped: 0, seconds: 1, reasons: [] };

test("report: what failed stands last, with its suite", () => {
  const text = report([
    { ...ran, name: "perl", failed: 1, failures: ["at its time"] },
    { ...ran, name: "lab", skipped: 1, reasons: ["no kernel"] },
  ]);
  assert.deepEqual(text.split("\n").slice(-2), ["skipped: lab: no kernel", "failed: perl: at its time"]);
});

test("report: a suite that broke without naming a test says how", () => {
  const text = report([{ ...ran, name: "rust", failed: 1, failures: [], note: "no test was run" }]);
  assert.match(text, /^failed: rust: no test was run$/m);
});

test("report: of many failures the first, and where the others are", () => {
  const failures = Array.from({ length: 25 }, (_, index) => `test ${index}`);
  const lines = report([{ ...ran, name: "ava", failed: 25, failures }]).split("\n");
  assert.equal(lines.filter((line) => line.startsWith("failed: ava: test ")).length, 20);
  assert.equal(lines.at(-1), "failed: ava: and 5 more: build/test-logs/ava.log");
});

test("report: a suite whose tests all passed names none", () => {
  assert.doesNotMatch(report([{ ...ran, name: "ava", failures: [] }]), /failed:/);
});
