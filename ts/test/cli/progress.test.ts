// SPDX-License-Identifier: AGPL-3.0-or-later
import test from "ava";
import { progressLine } from "../../src/cli/progress.js";

test("lines look as those of dd", (t) => {
  t.is(progressLine(1073741824n, 3), "1073741824 bytes (1.1 GB, 1.0 GiB) copied, 3 s, 358 MB/s");
  t.is(progressLine(512n, 1), "512 bytes copied, 1 s, 512 B/s");
  t.is(progressLine(1000n, 1), "1000 bytes (1.0 kB) copied, 1 s, 1.0 kB/s");
  t.is(progressLine(0n, 0), "0 bytes copied, 0 s, Infinity B/s");
});

test("a line with whole seconds is one that PVE thins out", (t) => {
  t.regex(progressLine(123456789n, 17), /(?:\d+ bytes)(?:.+?copied, )(\d+) s/);
});
