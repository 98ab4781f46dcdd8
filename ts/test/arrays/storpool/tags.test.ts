// SPDX-License-Identifier: AGPL-3.0-or-later
import test from "ava";
import { parseSection } from "../../../src/arrays/storpool/schema.js";
import {
  buildTags,
  clearedTags,
  clusterSlug,
  ownership,
  parseExtraTags,
  requestTag,
  sanitizeComment,
  tag,
} from "../../../src/arrays/storpool/tags.js";

const owner = { slug: "cl1", storeid: "sp-nvme" };
const ours = { virt: "pve", "pve-loc": "cl1", pve: "sp-nvme" };

test("ours are the objects of this cluster and this storage", (t) => {
  t.is(ownership(ours, owner), "ours");
  t.is(ownership({ ...ours, pve: "other" }, owner), "another-storage");
  t.is(ownership({ ...ours, "pve-loc": "cl2" }, owner), "foreign");
  t.is(ownership({ ...ours, virt: "cstack" }, owner), "foreign");
  t.is(ownership({ virt: "pve", "pve-loc": "cl1" }, owner), "foreign");
  t.is(ownership({}, owner), "foreign");
});

test("an empty slug or storage id is never a wildcard", (t) => {
  t.is(ownership({ virt: "pve", "pve-loc": "", pve: "sp-nvme" }, { ...owner, slug: "" }), "foreign");
  t.is(ownership({ virt: "pve", pve: "sp-nvme" }, { ...owner, slug: "" }), "foreign");
  t.is(ownership(ours, { ...owner, slug: "" }), "foreign");
  t.is(ownership({ ...ours, pve: "" }, { ...owner, storeid: "" }), "foreign");
  t.throws(() => buildTags({ ...owner, slug: "" }, { kind: "cloudinit", vmid: 100 }), { code: "invalid" });
});

test("a node without cluster goes by its own name", (t) => {
  t.is(clusterSlug("cl1", "pve1"), "cl1");
  t.is(clusterSlug(undefined, "pve1"), "pve1");
  t.is(clusterSlug("", "pve1"), "pve1");
  t.throws(() => clusterSlug(undefined, ""), { code: "invalid" });
  t.throws(() => clusterSlug("two words", "pve1"), { code: "invalid" });
});

test("extra tags are parsed, and added without overriding ours", (t) => {
  t.deepEqual(parseExtraTags(undefined), {});
  t.deepEqual(parseExtraTags("  vc-policy=daily\t a.b:c=1_2-3  empty= "), {
    "vc-policy": "daily",
    "a.b:c": "1_2-3",
    empty: "",
  });
  const tags = buildTags(owner, { kind: "disk", vmid: 100, disk: 0 }, { qc: "a", virt: "x", "pve-vm": "7" });
  t.like(tags, { qc: "a", virt: "pve", "pve-vm": "100" });
});

for (const text of ["novalue", "=x", "a=b=c", "a=b,c", "ä=1", "a=ä", `a=${"x".repeat(200)}`, "__proto__=x"]) {
  test(`extra tag ${text.slice(0, 20)} is refused as malformed`, (t) => {
    t.throws(() => parseExtraTags(`fine=1 ${text}`), { code: "invalid", message: /must be key=value/ });
  });
}

const reserved = [
  "virt",
  "pve",
  "pve-loc",
  "pve-type",
  "pve-vm",
  "pve-disk",
  "pve-base",
  "pve-snap",
  "pve-snap-v",
];
for (const key of [...reserved, "pve-comment", requestTag]) {
  test(`extra tag ${key} is refused because the storage uses it`, (t) => {
    t.throws(() => parseExtraTags(`${key}=x`), { code: "invalid", message: /used by the storage itself/ });
  });
}

test("an extra tag cannot be there twice", (t) => {
  t.throws(() => parseExtraTags("a=1 a=2"), { code: "invalid", message: /twice/ });
});

test("labels keep only what tags may contain", (t) => {
  t.is(sanitizeComment("Debian 12, ü/x"), "Debian_12_x");
  t.is(sanitizeComment("a.b:c-d_e"), "a.b:c-d_e");
  t.is(sanitizeComment("x".repeat(500)).length, 199);
  t.is(sanitizeComment("_"), "_", "what is allowed stays");
  for (const nothing of [undefined, "", "  ", "ü"]) t.is(sanitizeComment(nothing), "unlabeled");
});

test("what cannot be a tag value is refused before it is sent", (t) => {
  const spec = { kind: "state", vmid: 100, snap: "a b" } as const;
  t.throws(() => buildTags(owner, spec), {
    code: "invalid",
    message: /pve-snap cannot have the value 'a b'/,
  });
});

test("a copy's tags take back what its source had", (t) => {
  const source = buildTags(owner, { kind: "snap", vmid: 100, disk: 0, snap: "before", parentGid: "a.b.c" });
  const copy = { ...source, ...clearedTags, ...buildTags(owner, { kind: "disk", vmid: 101, disk: 3 }) };
  t.is(tag(copy, "pve-snap"), undefined);
  t.is(tag(copy, "pve-snap-v"), undefined);
  t.like(copy, { "pve-base": "0", "pve-vm": "101", "pve-disk": "3" });
});

test("a section has the storage's own name for template unless it names one", (t) => {
  t.deepEqual(parseSection({}, "nvme"), {
    template: "nvme",
    extraTags: {},
    content: ["images", "rootdir"],
  });
  const section = { template: "hdd", "extra-tags": "a=1", content: { images: 1, iso: 0 } };
  t.deepEqual(parseSection(section, "sp.a"), { template: "hdd", extraTags: { a: "1" }, content: ["images"] });
});

test("a section whose storage id cannot be a template's name must name one", (t) => {
  t.throws(() => parseSection({}, "sp.a"), { code: "invalid", message: /--template/ });
  t.throws(() => parseSection({ template: "a/b" }, "nvme"), { message: /letters, digits/ });
  t.throws(() => parseSection({ "extra-tags": "virt=x" }, "nvme"), { code: "invalid" });
});
