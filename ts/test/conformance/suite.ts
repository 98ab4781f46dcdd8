// SPDX-License-Identifier: AGPL-3.0-or-later
import test, { type ExecutionContext } from "ava";
import { dispatch } from "../../src/bridge/dispatch.js";
import { opposites } from "./opposites.js";
import { lacking, type Question } from "./question.js";
import { topics } from "./questions/index.js";
import { type Ask, Session } from "./session.js";
import { Slots } from "./slots.js";
import type { Site, Subject } from "./subject.js";

/**
 * Tests of one file that run at the same time: more would only wait for the disk, and for each other's deadlines. Each
 * may block several of the process's file threads on pipes; package.json asks for enough of these.
 */
const atOnce = 8;

/** Registers all questions to one driver as tests of the calling file. */
export function conformance(subject: Subject): void {
  const questions = topics.flatMap((topic) =>
    topic.questions(subject).map((question) => ({
      question,
      title: `${subject.name}: ${topic.name}: ${question.title}`,
    })),
  );
  if (subject.unavailable !== undefined) {
    test.skip(`${subject.name}: ${questions.length} questions [not asked: ${subject.unavailable}]`, () => {});
    return;
  }

  let site: Site;
  const slots = new Slots(atOnce);
  const put = (question: Question) => (t: ExecutionContext) =>
    slots.use(() => answer(t, question, subject, site));

  test.before("the array is made ready", async () => {
    site = await subject.open();
  });
  test.after.always("the array is taken down", async () => {
    await site?.close();
  });

  // Serial tests come first: what the driver says of itself decides what the others mean.
  test.serial(`${subject.name}: capabilities: are those that are expected`, put(capabilities));

  for (const { question, title } of questions) {
    const capability = lacking(question, subject);
    const hook = question.hooks?.find((name) => subject.lacks[name] !== undefined);
    if (capability !== undefined) {
      const ask = opposites[capability];
      if (ask) test(`${title} [without ${capability}: refused]`, put({ title, ask }));
      else test.skip(`${title} [not asked: without ${capability}]`, () => {});
    } else if (hook !== undefined) {
      test.skip(`${title} [not asked: ${subject.lacks[hook]}]`, () => {});
    } else {
      test(title, put(question));
    }
  }
}

/** Asks one question on a storage of its own; what the test leaves behind is an answer too. */
export async function answer(
  t: ExecutionContext,
  question: Question,
  subject: Subject,
  site: Site,
  ask: Ask = dispatch,
): Promise<void> {
  const small = question.hooks?.includes("small") ?? false;
  const place = small ? await site.small?.() : await site.place();
  if (!place) throw new Error("the subject has no hook 'small' and does not say why");
  const session = await Session.open(subject, site, place, ask);
  let failed = true;
  try {
    await question.ask(t, session);
    failed = false;
  } finally {
    const problems = await session.close();
    if (!failed) t.deepEqual(problems, []);
    // The first failure is the one to look at.
    else if (problems.length > 0) t.log(...problems);
  }
}

const capabilities: Question = {
  title: "are those that are expected",
  async ask(t, s) {
    const { capabilities: expected } = s.subject;
    t.deepEqual(await s.call("capabilities"), {
      ...expected,
      reflink: expected.snapshots && expected.linkedClones,
    });
  },
};
