// SPDX-License-Identifier: AGPL-3.0-or-later
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { commands } from "../../src/cli/cli.js";
import { shownLine } from "../../src/cli/log.js";
import { bashCompletion, manualPage } from "../../src/cli/manual.js";
import { makeReference } from "../../src/plugin/reference.js";

const shown = commands.filter(({ hidden }) => !hidden);
const page = manualPage(commands, "1.2.3");
const completion = bashCompletion(commands, ["blockio", "joviandss"]);

test("the manual page has every command with every option", (t) => {
  const plain = page.replaceAll("\\-", "-");
  for (const { name, summary, options } of shown) {
    t.true(plain.includes(`.SS "${name}`), name);
    t.true(plain.includes(summary), name);
    for (const option of Object.keys(options))
      t.true(plain.includes(`\\fB--${option}\\fR`), `${name} ${option}`);
  }
  t.false(page.includes("simulat"), "what is hidden is not there");
});

test("man has no complaint about the page", (t) => {
  if (!existsSync("/usr/bin/man")) {
    t.pass("there is no man here");
    return;
  }
  const file = join(mkdtempSync(join(tmpdir(), "blockio-man-")), "pve-blockio.1");
  t.teardown(() => rmSync(join(file, ".."), { recursive: true }));
  writeFileSync(file, page);
  const { status, stdout, stderr } = spawnSync("/usr/bin/man", ["--warnings", "-l", file], {
    encoding: "utf8",
    env: { LC_ALL: "C", MANWIDTH: "80", PATH: "/usr/bin:/bin" },
  });
  t.is(status, 0);
  t.is(stderr, "");
  t.regex(stdout, /doctor/);
});

/** What bash would propose for words of which the last one is being typed. */
function proposed(...words: string[]): string[] {
  const script = `${completion}\nCOMP_WORDS=(pve-blockio "$@"); COMP_CWORD=$#; _pve_blockio; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr } = spawnSync("/bin/bash", ["-c", script, "bash", ...words], { encoding: "utf8" });
  if (stderr !== "") throw new Error(stderr);
  return stdout.split("\n").filter((line) => line !== "");
}

test("bash proposes commands, their options, and the values of options", (t) => {
  t.deepEqual(proposed("do"), ["doctor"]);
  t.deepEqual(proposed("").sort(), [...shown.map(({ name }) => name), "--help", "--version"].sort());
  for (const { name, options } of shown)
    t.deepEqual(
      proposed(name, "--").sort(),
      [...Object.keys(options).map((option) => `--${option}`), "--help"].sort(),
      name,
    );
  t.deepEqual(proposed("export", "--format", "r"), ["raw+size"]);
  t.deepEqual(proposed("list", "--vmid", ""), []);
  t.deepEqual(proposed("frobnicate", "--"), []);
});

test("the configuration reference is what the schemas say", (t) => {
  t.is(readFileSync("docs/configuration.md", "utf8"), makeReference(), "run make docs");
});

test("log lines of a storage are told in a line, others are not", (t) => {
  const line = JSON.stringify({
    time: "2026-01-31T12:00:00.000Z",
    level: "info",
    message: "failed",
    method: "free_image",
    storeid: "fast",
    ms: 12,
    volname: "100/vm-100-disk-0.raw",
    error: { code: "busy", message: "in use" },
  });
  t.is(
    shownLine(line, "fast", false),
    "2026-01-31T12:00:00.000Z INFO  free_image failed ms=12 volname=100/vm-100-disk-0.raw: in use (busy)\n",
  );
  t.is(shownLine(line, "fast", true), `${line}\n`);
  for (const other of [
    line.replace('"fast"', '"faster"'),
    "Started pve-blockio.service",
    "null",
    "7",
    '"fast"',
    "{",
  ])
    t.is(shownLine(other, "fast", false), undefined);
});
