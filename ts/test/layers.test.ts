// SPDX-License-Identifier: AGPL-3.0-or-later
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import test from "ava";

const src = resolve("ts/src");

/** What each layer may import from, besides itself: only what lies below it. */
const allowed: Record<string, readonly string[]> = {
  common: [],
  // Vocabulary: connectors take the Connection type that the contract declares.
  connectors: ["common", "arrays/contract"],
  arrays: ["common"],
  plugin: ["common", "arrays", "connectors"],
  bridge: ["common", "plugin"],
  doctor: ["common", "plugin", "bridge/limits", "connectors", "arrays/contract"],
  cli: ["common", "plugin", "bridge", "doctor", "arrays/contract"],
};
/** The one type of a lower layer that the bridge's result schemas name. */
const exceptions = new Set(["bridge/methods.ts -> arrays/contract"]);

function sources(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? sources(join(dir, entry.name)) : [join(dir, entry.name)],
  );
}

test("a file imports only from layers below its own", (t) => {
  const wrong: string[] = [];
  let seen = 0;
  for (const file of sources(src)) {
    const from = relative(src, file);
    const layer = from.split("/")[0] ?? "";
    for (const [, target = ""] of readFileSync(file, "utf8").matchAll(/from "(\.[^"]+)\.js"/g)) {
      const to = relative(src, resolve(dirname(file), target));
      if (to.startsWith("..") || to.startsWith(`${layer}/`)) continue;
      seen++;
      const fine = allowed[layer]?.some((prefix) => to === prefix || to.startsWith(`${prefix}/`));
      if (!fine && !exceptions.has(`${from} -> ${to}`)) wrong.push(`${from} -> ${to}`);
    }
  }
  t.true(seen > 50, "the imports were found");
  t.deepEqual(wrong, []);
});

test("no driver imports from another driver's folder", (t) => {
  const root = join(src, "arrays");
  const folders = readdirSync(root, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  t.true(folders.length > 0);
  for (const { name: folder } of folders) {
    for (const file of sources(join(root, folder))) {
      for (const [, target = ""] of readFileSync(file, "utf8").matchAll(/from "(\.[^"]+)"/g)) {
        const to = relative(root, resolve(dirname(file), target)).split("/")[0] ?? "";
        t.false(
          folders.some(({ name }) => name !== folder && name === to),
          `${file} imports ${target}`,
        );
      }
    }
  }
});
