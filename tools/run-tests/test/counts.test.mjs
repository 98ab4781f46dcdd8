// SPDX-License-Identifier: AGPL-3.0-or-later
import assert from "node:assert/strict";
import { test } from "node:test";
import { failuresIn, fromCargo, fromLastLine, fromTap } from "../counts.mjs";

test("cargo: results of all binaries are added", () => {
  const text = [
    "test copy ... ok",
    "test sudo_loop ... ignored, needs root",
    "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
    "test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 9 filtered out; finished in 0.10s",
  ].join("\n");
  assert.deepEqual(fromCargo(text), { passed: 7, failed: 2, skipped: 1, reasons: ["needs root"] });
});

test("cargo: a compiler error gives no count", () => {
  assert.equal(fromCargo("error: could not compile `blockio`\n"), undefined);
});

test("TAP: counts come from the closing lines", () => {
  const text =
    "ok 1 - a\nnot ok 2 - b\nok 3 - c # SKIP no reflink here\n1..3\n# tests 3\n# pass 1\n# skip 1\n# fail 1\n";
  assert.deepEqual(fromTap(text), { passed: 1, failed: 1, skipped: 1, reasons: ["no reflink here"] });
});

test("TAP: a reason may stand in the title", () => {
  const text =
    "ok 1 - is busy [not asked: needs root] # SKIP\nok 2 - b # SKIP\n# pass 0\n# fail 0\n# skip 2\n";
  assert.deepEqual(fromTap(text)?.reasons, ["needs root", "no reason given"]);
});

test("TAP: the lines of node's own reporter", () => {
  assert.deepEqual(fromTap("✔ a (1 ms)\nℹ tests 1\nℹ pass 1\nℹ fail 0\nℹ skipped 0\n"), {
    passed: 1,
    failed: 0,
    skipped: 0,
    reasons: [],
  });
});

test("TAP: output that broke off gives no count", () => {
  assert.equal(fromTap("ok 1 - a\nok 2 - b\n"), undefined);
});

test("last line: counts, with and without skipped tests", () => {
  assert.deepEqual(fromLastLine("noise\n5 passed, 1 failed\n"), {
    passed: 5,
    failed: 1,
    skipped: 0,
    reasons: [],
  });
  assert.deepEqual(fromLastLine("skip: no xfs\nok - a # SKIP no fuse2fs\n5 passed, 0 failed, 2 skipped\n"), {
    passed: 5,
    failed: 0,
    skipped: 2,
    reasons: ["no xfs", "no fuse2fs"],
  });
});

test("last line: a count in the middle does not count", () => {
  assert.equal(fromLastLine("5 passed, 0 failed\nSegmentation fault\n"), undefined);
});

test("failures: every runner's way to say so, each test once", () => {
  const text = [
    "test copy ... ok",
    "test stream::zero ... FAILED",
    "    not ok 3 - inner case",
    "not ok 2 - pool › is not there",
    "ok 4 - not ok in a title",
    "#   Failed test 'at its time'",
    "#   Failed test 'at its time'",
    "FAILED  clippy",
    "✖ failing tests:",
    "✖ counts (0.4ms)",
    "test result: FAILED. 4 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out",
  ].join("\n");
  assert.deepEqual(failuresIn(text), [
    "stream::zero",
    "inner case",
    "pool › is not there",
    "'at its time'",
    "clippy",
    "counts (0.4ms)",
  ]);
});
