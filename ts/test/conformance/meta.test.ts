// SPDX-License-Identifier: AGPL-3.0-or-later
import test from "ava";
import { storageTypes } from "../../src/arrays/registry.js";
import { faults } from "./faults.js";
import type { Question } from "./question.js";
import { topics } from "./questions/index.js";
import type { Site, Subject } from "./subject.js";
import { type Asked, complaints, findSubjects } from "./subjects.js";
import { answer } from "./suite.js";
import { Undo } from "./undo.js";

const subjects = await findSubjects(import.meta.dirname);
const types = storageTypes.map(({ type }) => type);

test("every registered storage type is asked", (t) => {
  t.deepEqual(complaints(types, subjects), []);
});

test("a list of subjects that is empty, too short or too long is noticed", (t) => {
  const [first] = subjects;
  if (!first) return t.fail("no subject");
  const others = (change: Partial<Asked>, subject: Partial<Subject> = {}): Asked[] => [
    { ...first, ...change, subject: { ...first.subject, ...subject } },
  ];
  const { type } = first.subject;
  t.true(complaints([type], []).includes("no driver is asked anything"));
  t.true(complaints([], [first]).includes("no storage type is registered"));
  t.deepEqual(complaints([type, "new"], [first]), ["storage type 'new' has no conformance file"]);
  t.deepEqual(complaints([type], others({ asked: false })), [`${first.module}: no test file asks it`]);
  t.is(complaints([type], [first, ...others({})]).length, 1, "one name for two subjects");
  t.is(complaints([type], [first, ...others({}, { name: "other", type: "gone" })]).length, 1);
});

test("titles are unique, and each topic has a planted fault", (t) => {
  for (const { subject } of subjects) {
    const titles = topics.flatMap((topic) => topic.questions(subject).map(({ title }) => topic.name + title));
    t.is(new Set(titles).size, titles.length);
    t.true(titles.length > 150, `${subject.name} is asked ${titles.length} questions`);
  }
  const planted = new Set(faults.map(({ topic }) => topic));
  t.deepEqual(
    topics.map(({ name }) => name).filter((name) => !planted.has(name)),
    [],
  );
});

test("what a test has made is removed last in, first out, and a failure is told", async (t) => {
  const undo = new Undo();
  const removed: string[] = [];
  for (const key of ["one", "two", "three"]) undo.add(key, async () => removed.push(key));
  undo.forget("two");
  undo.add("four", () => Promise.reject(new Error("busy")));
  t.deepEqual(await undo.run(), ["remove four: undefined: busy"]);
  t.deepEqual(removed, ["three", "one"]);
});

// A subject that has as much as possible, so that as many faults as possible can be planted.
const subject = subjects
  .map((one) => one.subject)
  .filter(({ type, unavailable }) => type === "blockio" && unavailable === undefined)
  .sort((a, b) => Number(b.capabilities.snapshots) - Number(a.capabilities.snapshots))[0];
let site: Site | undefined;

test.before("the array is made ready", async () => {
  site = await subject?.open();
});
test.after.always("the array is taken down", async () => {
  await site?.close();
});

function find(topic: string, beginning: string): Question | undefined {
  if (!subject) return undefined;
  return topics
    .find(({ name }) => name === topic)
    ?.questions(subject)
    .find(({ title }) => title.startsWith(beginning));
}

for (const { what, topic, question: beginning, needs = [], ask } of faults) {
  const title = `noticed: ${what}`;
  const question = find(topic, beginning);
  const missing = needs.find((capability) => !subject?.capabilities[capability]);
  const hook = question?.hooks?.find((name) => subject?.lacks[name] !== undefined);
  if (missing !== undefined || hook !== undefined) {
    test.skip(`${title} [not planted: nothing here has ${missing ?? hook}]`, () => {});
    continue;
  }
  test.serial(title, async (t) => {
    if (!question || !subject || !site) return t.fail(`no question '${topic}: ${beginning}...'`);
    const [array, asked] = [site, subject];
    const honest = await t.try((inner) => answer(inner, question, asked, array));
    honest.discard();
    t.true(honest.passed, "the honest service must pass, else the fault proves nothing");
    const liar = await t.try((inner) => answer(inner, question, asked, array, ask));
    liar.discard();
    t.false(liar.passed, `'${topic}: ${question.title}' does not notice it`);
  });
}
