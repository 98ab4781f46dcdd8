// SPDX-License-Identifier: AGPL-3.0-or-later
import { mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { RequestJournal, RequestRecord } from "../../src/plugin/journal.js";

function directory(t: ExecutionContext): string {
  const dir = mkdtempSync(join(tmpdir(), "blockio-journal-"));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return join(dir, "requests");
}

test("an intent is known to the next service, for the same request on the same array only", (t) => {
  const dir = directory(t);
  new RequestRecord(new RequestJournal(dir), "token-0001").intend("array1", "100/vm-100-disk-0.raw");
  const after = new RequestJournal(dir);
  t.is(new RequestRecord(after, "token-0001").previous("array1"), "100/vm-100-disk-0.raw");
  t.is(new RequestRecord(after, "token-0001").previous("array2"), undefined);
  t.is(new RequestRecord(after, "token-0002").previous("array1"), undefined);
  t.is(new RequestRecord(after, undefined).previous("array1"), undefined);
});

test("names that others are about to take are spoken for", (t) => {
  const journal = new RequestJournal();
  new RequestRecord(journal, "token-0001").intend("array1", "a");
  t.deepEqual(new RequestRecord(journal, "token-0002").others("array1"), ["a"]);
  t.deepEqual(new RequestRecord(journal, "token-0001").others("array1"), []);
  t.deepEqual(new RequestRecord(journal, "token-0002").others("array2"), []);
});

test("an answered request leaves nothing", (t) => {
  const dir = directory(t);
  const journal = new RequestJournal(dir);
  journal.record("token-0001", { domain: "d", volname: "v" });
  journal.forget("token-0001");
  t.deepEqual(readdirSync(dir), []);
  t.is(new RequestJournal(dir).find("token-0001"), undefined);
});

test("old, damaged and half-written entries are removed at start", (t) => {
  const dir = directory(t);
  const journal = new RequestJournal(dir);
  journal.record("token-old", { domain: "d", volname: "v" });
  utimesSync(join(dir, "token-old"), new Date(0), new Date(0));
  writeFileSync(join(dir, "token-bad"), "{");
  writeFileSync(join(dir, "token-half.new"), "");
  new RequestJournal(dir);
  t.deepEqual(readdirSync(dir), []);
});
