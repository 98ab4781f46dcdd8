// SPDX-License-Identifier: AGPL-3.0-or-later
import assert from "node:assert/strict";
import { test } from "node:test";
import { fromLastLine } from "../counts.mjs";
import { totalLine, totals } from "../report.mjs";
import { verdict } from "../verdict.mjs";

const run = (text, changes = {}) =>
  verdict({ status: 0, signal: null, timedOut: false, text, ...changes }, fromLastLine);

test("a suite that passes is taken as it is", () => {
  assert.equal(run("3 passed, 0 failed").failed, 0);
});

test("zero tests are a failure", () => {
  assert.equal(run("0 passed, 0 failed").failed, 1);
  assert.equal(run("").failed, 1);
});

test("an exit status without a failed test is a failure", () => {
  assert.equal(run("3 passed, 0 failed", { status: 1 }).failed, 1);
});

test("a crash and a time-out are failures, whatever was printed before", () => {
  assert.equal(run("3 passed, 0 failed", { status: null, signal: "SIGSEGV" }).failed, 1);
  assert.equal(run("3 passed, 0 failed", { timedOut: true }).failed, 1);
});

test("failures stay failures with exit status 0", () => {
  assert.equal(run("3 passed, 2 failed").failed, 2);
});

test("status 77 leaves a suite out, but only with a reason and without tests", () => {
  assert.deepEqual(run("skip: needs root\n", { status: 77 }), { leftOut: "needs root" });
  assert.equal(run("", { status: 77 }).failed, 1);
  assert.equal(run("skip: needs root\n3 passed, 0 failed", { status: 77 }).failed, 1);
});

test("a suite that skipped every test is left out, but only with a reason", () => {
  assert.deepEqual(run("left out: needs root\n0 passed, 0 failed, 2 skipped"), { leftOut: "needs root" });
  assert.equal(run("0 passed, 0 failed, 2 skipped").failed, 1);
  assert.equal(run("left out: needs root\n0 passed, 0 failed, 2 skipped", { status: 1 }).failed, 1);
});

test("the total leaves out what did not run and counts only failures of the linters", () => {
  const results = [
    { name: "lint", onlyFailuresCount: true, passed: 7, failed: 1 },
    { name: "ava", passed: 10, failed: 2 },
    { name: "pve", leftOut: "PVE_REF is not set" },
  ];
  assert.equal(totalLine(totals(results)), "10 passed, 3 failed");
});
