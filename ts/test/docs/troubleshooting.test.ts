// SPDX-License-Identifier: AGPL-3.0-or-later
import { readFileSync } from "node:fs";
import test from "ava";
import { errorCodes } from "./codes.js";
import { type ErrorText, errorTexts } from "./error-texts.js";

const document = readFileSync("docs/troubleshooting.md", "utf8");

/** The messages of the document: the first cell of each row that is one. */
const entries = [...document.matchAll(/^\| `([^`]+)` \| (.+) \|$/gm)].map(
  ([, message = "", remedy = ""]) => ({
    message,
    remedy,
    pattern: new RegExp(
      `^${message.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&").replaceAll("…", ".*")}(?:[;:, ].*)?$`,
      "s",
    ),
  }),
);

const all = errorTexts();

/** What needs no entry of its own, and why not. */
const exceptions: readonly { readonly why: string; readonly holds: (one: ErrorText) => boolean }[] = [
  { why: "defects have one entry for all: report it", holds: ({ code }) => code === "internal" },
  {
    why: "the simulators are for tests",
    holds: ({ file }) => file.startsWith("ts/src/cli/sim"),
  },
  {
    why: "usage of the command line: the message itself says how to write it, as --help and the manual page do",
    holds: ({ file, code }) => file.startsWith("ts/src/cli/") && code === "invalid",
  },
  {
    why: "requests that are not the plugin's or the command line's: for authors of clients, docs/protocol.md",
    holds: ({ file, code }) => file.startsWith("ts/src/bridge/") && code === "invalid",
  },
  {
    why: "reasons within 'storage type … is disabled on this node, manifest …', which has an entry",
    holds: ({ file }) => /Blockio\/(?:Manifest|Volname)\.pm$/.test(file),
  },
  {
    why: "reasons within 'bridge …', which has an entry",
    holds: ({ file, code }) => file === "ts/src/cli/client.ts" && code === undefined,
  },
  {
    why: "arguments that only a defect of the layers above can make: no user's input gets there unchecked",
    holds: ({ file, code }) =>
      code === "invalid" &&
      /^crates\/blockio\/src\/(?:device|multipath|napi|block|archive\/(?:copy|remove)|fs\/(?:create|prealloc|size))/.test(
        file,
      ),
  },
  {
    why: "checks of what the plugin itself composed, or of what Proxmox VE has checked before",
    holds: ({ file, text }) =>
      /Blockio\/(?:Base|Stream|Value)\.pm$/.test(file) &&
      /^(?:invalid (?:name in a stream command|stream format|size ')|no valid VMID given|path of '…' depends|storage definition has no|storage type ')/.test(
        text,
      ),
  },
  {
    why: "a hole within a stream of more than 8 EiB cannot be there",
    holds: ({ text }) => text === "write stream: the hole is too large",
  },
];

test("every error message of the code has an entry, or a reason why it needs none", (t) => {
  t.true(all.length > 350, "the texts were found");
  const missing = all
    .filter((one) => !exceptions.some(({ holds }) => holds(one)))
    .filter(({ text }) => !entries.some(({ pattern }) => pattern.test(text)))
    .map(({ file, text }) => `${file}: ${text}`);
  t.deepEqual(missing, []);
});

test("every entry is about a message that is there, and says what to do", (t) => {
  const texts = all.map(({ text }) => text);
  t.true(entries.length > 100);
  for (const { message, remedy, pattern } of entries) {
    t.true(
      texts.some((text) => pattern.test(text)),
      message,
    );
    t.true(remedy.length >= 8, message);
    t.true(
      message.replaceAll("…", "").replaceAll(/[^A-Za-z]/g, "").length >= 6,
      `${message}: too little to search for`,
    );
  }
  t.is(new Set(entries.map(({ message }) => message)).size, entries.length, "each once");
});

test("every exception is needed", (t) => {
  for (const { why, holds } of exceptions) t.true(all.some(holds), why);
});

test("the texts of all kinds of code are seen", (t) => {
  for (const [ending, least] of [
    [".ts", 200],
    [".rs", 50],
    [".pm", 20],
  ] as const)
    t.true(all.filter(({ file }) => file.endsWith(ending)).length >= least, ending);
  for (const code of errorCodes)
    t.true(
      all.some((one) => one.code === code),
      code,
    );
});
