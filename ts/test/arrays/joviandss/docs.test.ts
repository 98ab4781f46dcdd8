// SPDX-License-Identifier: AGPL-3.0-or-later
import { readFileSync } from "node:fs";
import test from "ava";
import { legacyProperties } from "../../../src/arrays/joviandss/properties.js";
import { joviandssProperties } from "../../../src/arrays/joviandss/schema.js";
import { propertyRows } from "../property-table.js";

const text = readFileSync("docs/joviandss.md", "utf8");

test("every property is documented, and nothing else is", (t) => {
  const [, ignored = ""] = /\nProperties of the vendor's plugin([\s\S]*?)\n## /.exec(text) ?? [];
  const legacy = [...ignored.matchAll(/`([a-z_]+)`/g)].map(([, name = ""]) => name);
  t.deepEqual(legacy.sort(), Object.keys(legacyProperties).sort());
  const table = propertyRows(text).flatMap(({ names }) => names);
  t.deepEqual([...table, ...legacy].sort(), Object.keys(joviandssProperties).sort());
});

test("each property has a type, its default and an effect", (t) => {
  for (const { names, cells } of propertyRows(text)) {
    for (const name of names) {
      const [type = "", otherwise = "", effect = ""] = cells;
      const { schema, pve } = joviandssProperties[name as keyof typeof joviandssProperties];
      const given: unknown = schema.safeParse(undefined).data;
      const core = "core" in pve && pve.core;
      t.true(effect.length > 10, name);
      if (!core) t.true(type.length > 3, name);
      if (given !== undefined)
        t.is(otherwise, `\`${given === true ? 1 : given === false ? 0 : given}\``, name);
      t.is(type.includes("fixed"), "fixed" in pve && pve.fixed === true, `${name} fixed`);
      t.is(type.includes("secret"), "sensitive" in pve && pve.sensitive === true, `${name} secret`);
      if (!core) t.is(type === "boolean", ["`0`", "`1`"].includes(otherwise), `${name} boolean`);
    }
  }
});
