// SPDX-License-Identifier: AGPL-3.0-or-later
import test from "ava";
import { fail } from "../../src/common/errors.js";
import { createLogger } from "../../src/common/log.js";

function capture(options = {}) {
  const lines: string[] = [];
  return { lines, log: createLogger({ ...options, write: (line) => lines.push(line) }) };
}

test("secrets are removed wherever they stand", (t) => {
  const { lines, log } = capture();
  log.info("x", { password: "p1", nested: { api_key: "p2", list: [{ "chap-secret": "p3" }] }, user: "root" });
  const text = lines.join("");
  t.notRegex(text, /p1|p2|p3/);
  t.regex(text, /"user":"root"/);
});

test("one line per message, also for errors with causes and sizes", (t) => {
  const { lines, log } = capture({ journal: true });
  log.warn("y", { error: fail("busy", "a\nb", new Error("c\nd")), size: 10n });
  t.is(lines.length, 1);
  t.is(lines[0]?.trim().split("\n").length, 1);
  t.true(lines[0]?.startsWith("<4>{"));
  t.regex(lines[0] ?? "", /"code":"busy","message":"a b"/);
  t.regex(lines[0] ?? "", /"size":"10"/);
});

test("what is below the level is not written", (t) => {
  const { lines, log } = capture({ level: "warn" });
  log.info("no");
  log.debug("no");
  log.with({ a: 1 }).error("yes");
  t.is(lines.length, 1);
});
