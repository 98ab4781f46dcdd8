// SPDX-License-Identifier: AGPL-3.0-or-later
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Subject } from "./subject.js";

/** A subject and the test file that asks it. */
export interface Asked {
  /** Name of the module below `subjects/`. */
  readonly module: string;
  readonly subject: Subject;
  /** Whether the test file of the same name puts the questions to it. */
  readonly asked: boolean;
}

/** All subjects of a directory of compiled tests: modules below `subjects/` that export `subject`. */
export async function findSubjects(dir: string): Promise<Asked[]> {
  const found: Asked[] = [];
  for (const file of readdirSync(join(dir, "subjects"))) {
    if (!file.endsWith(".js")) continue;
    const { subject } = (await import(join(dir, "subjects", file))) as { subject?: Subject };
    if (subject === undefined) continue;
    const module = file.replace(/\.js$/, "");
    const test = join(dir, `${module}.test.js`);
    const asked =
      existsSync(test) &&
      readFileSync(test, "utf8").includes(`./subjects/${file}`) &&
      /^conformance\(subject\);$/m.test(readFileSync(test, "utf8"));
    found.push({ module, subject, asked });
  }
  return found;
}

/** What is wrong with the list of subjects, seen from the storage types that are registered. */
export function complaints(types: readonly string[], subjects: readonly Asked[]): string[] {
  const wrong: string[] = [];
  if (types.length === 0) wrong.push("no storage type is registered");
  if (subjects.length === 0) wrong.push("no driver is asked anything");
  for (const type of types) {
    if (!subjects.some(({ subject }) => subject.type === type)) {
      wrong.push(`storage type '${type}' has no conformance file`);
    }
  }
  for (const { module, subject, asked } of subjects) {
    if (!types.includes(subject.type)) wrong.push(`${module}: type '${subject.type}' is not registered`);
    if (!asked) wrong.push(`${module}: no test file asks it`);
  }
  const names = subjects.map(({ subject }) => subject.name);
  for (const name of new Set(names.filter((one, index) => names.indexOf(one) !== index))) {
    wrong.push(`two subjects are called '${name}'`);
  }
  return wrong;
}
