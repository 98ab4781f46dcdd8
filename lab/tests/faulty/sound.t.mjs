// SPDX-License-Identifier: AGPL-3.0-or-later
// For lab/selftest: runs after all that broke down, and passes.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

test("this is a fresh machine", () => {
  assert.ok(Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]) < 300);
});
