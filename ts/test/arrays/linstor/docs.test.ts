// SPDX-License-Identifier: AGPL-3.0-or-later
import { readFileSync } from "node:fs";
import test from "ava";
import { linstorProperties } from "../../../src/arrays/linstor/properties.js";
import { propertyRows } from "../property-table.js";

const text = readFileSync("docs/linstor.md", "utf8");

test("every property is documented, and nothing else is", (t) => {
  const table = propertyRows(text).flatMap(({ names }) => names);
  t.deepEqual(table.sort(), Object.keys(linstorProperties).sort());
});

test("each property has a type, its default and an effect", (t) => {
  for (const { names, cells } of propertyRows(text)) {
    for (const name of names) {
      const [type = "", otherwise = "", effect = ""] = cells;
      const { schema, pve } = linstorProperties[name as keyof typeof linstorProperties];
      const given: unknown = schema.safeParse(undefined).data;
      t.true(effect.length > 10, name);
      if (!("core" in pve && pve.core)) t.true(type.length > 3, name);
      if (given !== undefined) t.is(otherwise, `\`${given}\``, name);
      t.is(type.includes("secret"), "sensitive" in pve && pve.sensitive === true, `${name} secret`);
      t.is(type === "yes or no", given === "yes" || given === "no", name);
      if (!schema.safeParse(undefined).success) t.is(otherwise, "must be given", name);
    }
  }
});
