// SPDX-License-Identifier: AGPL-3.0-or-later
import { readFileSync } from "node:fs";
import test from "ava";
import {
  encodeRecord,
  findCloudinit,
  nextDiskNumber,
  type ObjectRecord,
} from "../../../src/arrays/storpool/encode.js";
import { nameRules } from "../../../src/arrays/storpool/grammar.js";
import {
  formatName,
  gidOfName,
  type NameRef,
  objectTypeOf,
  parseName,
  tryParseName,
} from "../../../src/arrays/storpool/naming.js";
import { parseShortName } from "../../../src/arrays/storpool/request.js";
import { buildTags, type TagSpec } from "../../../src/arrays/storpool/tags.js";

interface Vectors {
  names: { name: string; ok: NameRef | null; back?: boolean }[];
  requests: { name: string; ok: object | null }[];
  tags: {
    title: string;
    spec: TagSpec;
    tags: Record<string, string>;
    type: ObjectRecord["type"];
    name: string;
  }[];
  records: { title: string; record: ObjectRecord; name?: string; reason?: string }[];
}

const vectors = JSON.parse(readFileSync("tests/vectors/storpool-names.json", "utf8")) as Vectors;
const owner = { slug: "cl1", storeid: "sp-nvme" };
const gid = "nzkr.b.1f";

for (const { name, ok, back } of vectors.names) {
  test(`name ${JSON.stringify(name)} is ${ok ? `a ${ok.kind}` : "refused"}`, (t) => {
    t.deepEqual(tryParseName(name) ?? null, ok);
    if (ok) t.is(formatName(ok) === name, back ?? true);
    else t.throws(() => parseName(name), { code: "invalid" });
  });
  test(`name ${JSON.stringify(name)} matches ${ok ? "exactly one rule" : "no rule"}`, (t) => {
    const matching = nameRules.filter(({ pattern }) => new RegExp(pattern).test(name));
    t.deepEqual(
      matching.map(({ kind }) => kind),
      ok ? [ok.kind] : [],
    );
  });
}

test("patterns use only what Perl and JavaScript have in common, and group names once", (t) => {
  for (const { pattern } of nameRules) {
    t.notRegex(pattern, /\(\?<[=!]|\\p|\\d|\\w|\(\?i/);
    const groups = [...pattern.matchAll(/\(\?<(\w+)>/g)].map(([, group]) => group);
    t.is(new Set(groups).size, groups.length);
    t.is(groups[0], "name");
  }
});

test("the group name is the whole name", (t) => {
  for (const { name, ok } of vectors.names.filter((vector) => vector.ok)) {
    const rule = nameRules.find(({ kind, pattern }) => kind === ok?.kind && new RegExp(pattern).test(name));
    t.is(new RegExp(rule?.pattern ?? "").exec(name)?.groups?.["name"], name);
  }
});

for (const { name, ok } of vectors.requests) {
  test(`asked for ${name}: ${ok ? "is understood" : "is refused"}`, (t) => {
    t.deepEqual(parseShortName(name) ?? null, ok);
    if (ok) t.is(tryParseName(name)?.gid, undefined, "it is not the whole name of something else");
  });
}

for (const { title, spec, tags, type, name } of vectors.tags) {
  test(`${title}: its tags are those of the format, and lead to its name`, (t) => {
    t.deepEqual(buildTags(owner, spec), tags);
    t.is(objectTypeOf(spec.kind), type);
    const encoded = encodeRecord({ type, gid, name: `~${gid}`, tags });
    t.is(encoded.ok ? encoded.name : encoded.reason, name);
    t.like(encoded.ok && encoded.ref, { kind: spec.kind, gid });
    t.is(tryParseName(name)?.kind, spec.kind);
  });
  test(`${title}: the other type of object has no name`, (t) => {
    const other = type === "volume" ? "snapshot" : "volume";
    t.false(encodeRecord({ type: other, gid, name: `~${gid}`, tags }).ok);
  });
}

for (const { title, record, name, reason } of vectors.records) {
  test(`object: ${title} ${name === undefined ? "has no name" : "has its name"}`, (t) => {
    const encoded = encodeRecord(record);
    if (name !== undefined) t.is(encoded.ok ? encoded.name : encoded.reason, name);
    else t.true(!encoded.ok && encoded.reason.includes(reason ?? "?"), JSON.stringify(encoded));
  });
}

test("only an unnamed object's name carries a global id", (t) => {
  t.is(gidOfName("~nzkr.b.1f"), "nzkr.b.1f");
  for (const name of ["nzkr.b.1f", "~nzkr.b", "~", "", undefined, "~a.b.c@1"])
    t.is(gidOfName(name), undefined);
});

function cloudinit(id: string, ctime: number, change: Record<string, string> = {}) {
  const tags = { ...buildTags(owner, { kind: "cloudinit", vmid: 100 }), ...change };
  return { type: "volume" as const, gid: id, name: `~${id}`, ctime, tags };
}

test("the newest cloud-init drive of the guest on this storage counts", (t) => {
  const rows = [
    cloudinit("a.b.1", 10),
    cloudinit("a.b.2", 30),
    cloudinit("a.b.3", 20),
    cloudinit("a.b.4", 90, { pve: "other" }),
    cloudinit("a.b.5", 90, { "pve-loc": "cl2" }),
    cloudinit("a.b.6", 90, { "pve-vm": "101" }),
    cloudinit("a.b.7", 90, { "pve-disk": "0" }),
    { ...cloudinit("a.b.8", 90), name: "named" },
  ];
  t.is(findCloudinit(rows, owner, 100)?.gid, "a.b.2");
  t.is(findCloudinit(rows, owner, 102), undefined);
  t.is(findCloudinit([cloudinit("a.b.9", 0)], owner, 100)?.gid, "a.b.9");
});

test("the next disk number follows the highest on all storages of the cluster", (t) => {
  const disk = (
    number: string,
    change: Record<string, string> = {},
    type: "volume" | "snapshot" = "volume",
  ) => ({
    type,
    gid,
    name: `~${gid}`,
    tags: { ...buildTags(owner, { kind: "disk", vmid: 100, disk: 0 }), "pve-disk": number, ...change },
  });
  t.is(nextDiskNumber([], owner, 100), 0);
  t.is(nextDiskNumber([disk("0"), disk("4", { pve: "other" }), disk("2")], owner, 100), 5);
  const ignored = [
    disk("9", { "pve-loc": "cl2" }),
    disk("9", { virt: "x" }),
    disk("9", { "pve-vm": "101" }),
    disk("9", {}, "snapshot"),
    disk("state"),
    disk("cloudinit"),
    disk("09"),
  ];
  t.is(nextDiskNumber([disk("1"), ...ignored], owner, 100), 2);
});
