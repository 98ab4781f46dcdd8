// SPDX-License-Identifier: AGPL-3.0-or-later
import { readFileSync } from "node:fs";
import test from "ava";
import { BlockioError, codeOf, during, errorTable, fail, wrap } from "../../src/common/errors.js";

test("a message is one line whatever it was made of", (t) => {
  t.is(fail("busy", "a\n\tb\u0007c\r\n").message, "a b c");
});

test("exit statuses are distinct and leave 0 to success", (t) => {
  const exits = Object.values(errorTable).map(({ exit }) => exit);
  t.is(new Set(exits).size, exits.length);
  t.false((exits as number[]).includes(0));
});

test("a full disk, a missing file and a dead server keep their difference", (t) => {
  t.is(codeOf({ code: "ENOSPC" }), "no-space");
  t.is(codeOf({ code: "ENOENT" }), "absent");
  t.is(codeOf({ code: "ESTALE" }), "unreachable");
  t.is(codeOf({ code: "EIO" }), "unreachable");
  t.is(codeOf(new Error("anything")), "internal");
  t.is(codeOf(undefined), "internal");
});

test("an error of another copy of the class keeps its code", (t) => {
  t.is(wrap(Object.assign(new Error("x"), { code: "no-space" }), "create 'a'").code, "no-space");
});

test("during puts operation and object in front of foreign errors only", async (t) => {
  const foreign = await t.throwsAsync(
    during("create 'x'", async () => {
      throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
    }),
    { instanceOf: BlockioError },
  );
  t.is(foreign?.message, "create 'x': no space left on the file system");
  const own = fail("busy", "in use");
  t.is(await t.throwsAsync(during("create 'x'", () => Promise.reject(own))), own);
});

test("every code is documented with its exit status, and no other", (t) => {
  const rows = [...readFileSync("docs/errors.md", "utf8").matchAll(/^\| `([a-z-]+)` \| (\d+) \|/gm)];
  t.deepEqual(
    rows.map(([, code, exit]) => [code, Number(exit)]).sort(),
    Object.entries(errorTable)
      .map(([code, { exit }]) => [code, exit])
      .sort(),
  );
});
