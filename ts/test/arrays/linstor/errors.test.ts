// SPDX-License-Identifier: AGPL-3.0-or-later
import test from "ava";
import { arrayError, type Condition, entriesOf } from "../../../src/arrays/linstor/answer.js";
import { parseReply, parseReturnCode } from "../../../src/arrays/linstor/return-code.js";
import type { ErrorCode } from "../../../src/common/errors.js";

/** An entry as LINSTOR writes it: severity error, an operation and a code. */
function entry(code: number, message = "It is so.", operation = 1n): string {
  const bits = (3n << 62n) | (operation << 24n) | (0x38n << 16n) | BigInt(code);
  return `{"ret_code":${BigInt.asIntN(64, bits)},"message":${JSON.stringify(message)}}`;
}

function errorOf(text: string, status = 500) {
  return arrayError("do it", status, entriesOf(parseReply(text)) ?? []);
}

test("return codes keep all of their bits", (t) => {
  t.deepEqual(parseReturnCode("-4611686018409823742"), {
    severity: "error",
    operation: "create",
    code: 514,
  });
  t.deepEqual(parseReturnCode("20447233"), { severity: "success", operation: "create", code: 1 });
  t.deepEqual(parseReturnCode("-9223372036800771144"), {
    severity: "warning",
    operation: "delete",
    code: 3000,
  });
  t.deepEqual(parseReturnCode("-4611686018373385243"), { severity: "error", operation: "delete", code: 997 });
  const [one] = entriesOf(parseReply('[{"ret_code" : -4611686018409823742, "message":"x"}]')) ?? [];
  t.is(one?.code, 514);
});

test("a text that looks like a return code stays a text", (t) => {
  const text = '[{"ret_code":1,"message":"it said \\"ret_code\\":5, and \\\\"}]';
  t.is(entriesOf(parseReply(text))?.[0]?.message, 'it said "ret_code":5, and \\');
});

const catalogue: readonly (readonly [number, ErrorCode, Condition])[] = [
  [202, "invalid", "invalid"],
  [218, "invalid", "invalid"],
  [213, "refused", "exact-size"],
  [227, "unsupported", "unsupported"],
  [300, "refused", "node-absent"],
  [301, "absent", "absent"],
  [302, "absent", "absent"],
  [310, "refused", "pool-absent"],
  [313, "absent", "absent"],
  [317, "absent", "group-absent"],
  [412, "auth", "auth"],
  [501, "exists", "exists"],
  [514, "exists", "exists"],
  [522, "exists", "exists"],
  [525, "busy", "busy"],
  [971, "busy", "busy"],
  [974, "busy", "not-synced"],
  [977, "refused", "newer-snapshots"],
  [980, "no-space", "no-space"],
  [988, "unsupported", "unsupported"],
  [991, "no-space", "no-place"],
  [992, "busy", "busy"],
  [994, "unsupported", "unsupported"],
  [995, "unreachable", "not-connected"],
  [996, "no-space", "no-place"],
  [997, "busy", "in-use"],
  [998, "refused", "unknown"],
  [12345, "refused", "unknown"],
];

for (const [number, code, condition] of catalogue) {
  test(`${number} is ${code} (${condition})`, (t) => {
    const error = errorOf(`[${entry(number)}]`);
    t.is(error.code, code);
    t.is(error.condition, condition);
    t.is(error.number, number);
    t.regex(error.message, /^do it: LINSTOR says: It is so; \S/);
  });
}

test("one code means two things, which its text tells apart", (t) => {
  t.is(errorOf(`[${entry(206, "Not enough free space available for volume 0")}]`).code, "no-space");
  t.is(errorOf(`[${entry(206, "Invalid volume size")}]`).code, "invalid");
});

test("a definition with snapshots is no snapshot that exists", (t) => {
  t.is(errorOf(`[${entry(514, "x", 3n)}]`).condition, "has-snapshots");
});

test("the first error counts, whatever comes before it", (t) => {
  const error = errorOf(`[{"ret_code":20447233,"message":"made"},${entry(996, "No room.")},${entry(997)}]`);
  t.is(error.condition, "no-place");
  t.regex(error.message, /No room;/);
});

test("cause and advice of LINSTOR are told, in one line", (t) => {
  const text = `[{"ret_code":${BigInt.asIntN(64, (3n << 62n) | 997n)},"message":"In use.\\n","cause":"Mounted.","correction":"Un-mount it."}]`;
  t.is(errorOf(text).message, "do it: LINSTOR says: In use (Mounted); Un-mount it");
});

test("without entries the HTTP status is told, and a refused sign-in is one", (t) => {
  t.is(arrayError("do it", 401, []).code, "auth");
  t.regex(arrayError("do it", 500, []).message, /HTTP status 500/);
});

test("what is no list of entries is none", (t) => {
  for (const text of ["{}", "[1]", '[{"message":"x"}]', "null", '"x"'])
    t.is(entriesOf(parseReply(text)), undefined);
});
