// SPDX-License-Identifier: AGPL-3.0-or-later
import test from "ava";
import { findProgram, run } from "../../src/common/process.js";

const options = { signal: new AbortController().signal, limitMs: 10_000 };

test("a program runs in the C locale, without shell and without the service's environment", async (t) => {
  process.env["BLOCKIO_TEST_SECRET"] = "secret";
  const { status, stdout } = await run("/usr/bin/env", [], options);
  t.is(status, 0);
  t.regex(stdout, /^LC_ALL=C$/m);
  t.notRegex(stdout, /secret/);
  t.is((await run("/bin/echo", ["$HOME; *"], options)).stdout, "$HOME; *\n");
});

test("its status is an answer, not an error", async (t) => {
  const { status, stderr } = await run("/bin/sh", ["-c", "echo why >&2; exit 24"], options);
  t.deepEqual([status, stderr], [24, "why\n"]);
  t.is((await run("/bin/sh", ["-c", "kill -9 $$"], options)).status, -1);
});

test("one that does not end is killed, and says so", async (t) => {
  await t.throwsAsync(run("/bin/sleep", ["60"], { ...options, limitMs: 50 }), { code: "timeout" });
  const signal = AbortSignal.timeout(50);
  await t.throwsAsync(run("/bin/sleep", ["60"], { ...options, signal }), { code: "timeout" });
});

test("one that holds a lock is spared for its time", async (t) => {
  const spared = { signal: AbortSignal.timeout(20), limitMs: 10_000, spareMs: 5_000 };
  t.is((await run("/bin/sh", ["-c", "sleep 0.3; echo done"], spared)).stdout, "done\n");
  const signal = AbortSignal.timeout(20);
  await t.throwsAsync(run("/bin/sleep", ["60"], { ...spared, signal, spareMs: 200 }), { code: "timeout" });
});

test("one that is not installed is absent, wherever PATH leads", async (t) => {
  await t.throwsAsync(run("/usr/bin/no-such-program", [], options), { code: "absent" });
  t.is(await findProgram("no-such-program"), undefined);
  t.regex((await findProgram("sh")) ?? "", /^\/(usr\/)?bin\/sh$/);
});
