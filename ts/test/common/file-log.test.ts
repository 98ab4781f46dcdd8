// SPDX-License-Identifier: AGPL-3.0-or-later
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { FileLog } from "../../src/common/file-log.js";

function place(t: ExecutionContext): string {
  const dir = mkdtempSync(join(tmpdir(), "blockio-log-"));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

test("lines come in order, into a file for root and its group", async (t) => {
  const path = join(place(t), "sub/log");
  const log = new FileLog(path);
  for (let line = 0; line < 100; line++) log.write(`${line}\n`);
  await log.close();
  t.is(readFileSync(path, "utf8"), Array.from({ length: 100 }, (_, line) => `${line}\n`).join(""));
  t.is(statSync(path).mode & 0o777, 0o640);
});

test("a full file becomes the first of the older ones, the oldest goes", async (t) => {
  const path = join(place(t), "log");
  const log = new FileLog(path, { maxBytes: 10, backups: 2 });
  for (const line of ["one.....\n", "two.....\n", "three...\n", "four....\n"]) {
    log.write(line);
    await log.close();
  }
  const text = (suffix: string) => readFileSync(path + suffix, "utf8").trim();
  t.deepEqual([text(""), text(".1"), text(".2")], ["four....", "three...", "two....."]);
  t.false(existsSync(`${path}.3`));
});

test("a file that everybody may read is closed to them", async (t) => {
  const path = join(place(t), "log");
  writeFileSync(path, "old\n");
  chmodSync(path, 0o644);
  const log = new FileLog(path);
  log.write("new\n");
  await log.close();
  t.is(readFileSync(path, "utf8"), "old\nnew\n");
  t.is(statSync(path).mode & 0o777, 0o640);
});

test("a place that cannot be written disturbs nobody", async (t) => {
  const path = join(place(t), "file");
  writeFileSync(path, "");
  const log = new FileLog(join(path, "log"));
  log.write("lost\n");
  await log.close();
  t.is(readFileSync(path, "utf8"), "");
});
