// SPDX-License-Identifier: AGPL-3.0-or-later
import test from "ava";
import * as z from "zod";
import { storageTypes } from "../../src/arrays/registry.js";
import { declare, makeManifest } from "../../src/plugin/manifest.js";

const manifest = makeManifest("1.2.3");

test("every registered type is in the manifest, with required and fixed options marked", (t) => {
  t.deepEqual(
    Object.keys(manifest.types),
    storageTypes.map(({ type }) => type),
  );
  const { options } = manifest.types["blockio"] as { options: Record<string, unknown> };
  t.deepEqual(options["path"], { fixed: 1 });
  t.deepEqual(options["shared"], { optional: 1 });
});

test("the manifest is plain JSON", (t) => {
  t.deepEqual(JSON.parse(JSON.stringify(manifest)), manifest);
});

test("a property of PVE's own is never declared again", (t) => {
  for (const type of storageTypes) {
    const { properties } = manifest.types[type.type] as { properties: Record<string, unknown> };
    for (const [name, { pve }] of Object.entries(type.properties)) t.is(name in properties, !pve.core, name);
  }
});

test("an own property is declared in PVE's schema language", (t) => {
  t.deepEqual(declare("x-count", z.number().int().min(1).max(9).optional(), { description: "How many." }), {
    description: "How many.",
    type: "integer",
    minimum: 1,
    maximum: 9,
    optional: 1,
  });
  t.deepEqual(declare("x-mode", z.enum(["a", "b"]).default("a"), { description: "Which." }), {
    description: "Which.",
    type: "string",
    enum: ["a", "b"],
    default: "a",
    optional: 1,
  });
});

test("what PVE's schema cannot express stops the build", (t) => {
  t.throws(() => declare("x", z.object({ a: z.string() }), { description: "d" }), {
    message: /property 'x'/,
  });
  t.throws(() => declare("x", z.union([z.string(), z.number()]), { description: "d" }), {
    message: /property 'x'/,
  });
  t.throws(() => declare("x", z.string(), {}), { message: /no description/ });
});
