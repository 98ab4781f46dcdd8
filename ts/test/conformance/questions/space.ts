// SPDX-License-Identifier: AGPL-3.0-or-later
import { GiB, MiB } from "../bytes.js";
import type { Question, Topic } from "../question.js";
import { failure } from "../session.js";
import { importStream, sender, streamOf } from "../streams.js";

/** More than a small storage has room for. */
const tooMuch = 64 << 20;

/** Questions that all need the same thing. */
function onSmall(questions: Question[]): Question[] {
  return questions.map((question) => ({ ...question, hooks: ["small" as const] }));
}

export const space: Topic = {
  name: "space",
  questions: (subject) =>
    onSmall([
      {
        title: "a volume that does not fit is refused for lack of space, and one that fits is not",
        async ask(t, s) {
          await s.refused(t, "no-space", () => s.alloc({ size: GiB }));
          t.deepEqual(await s.list(), []);
          const volname = await s.alloc({ size: 2n * MiB });
          await s.fill(volname, "data");
          await s.refused(t, "no-space", () => s.alloc({ size: GiB }));
          await s.shows(t, volname, "data", { size: 2n * MiB });
        },
      },
      {
        title: "a volume that cannot grow for lack of space keeps its size and data",
        async ask(t, s) {
          const volname = await s.alloc({ size: 2n * MiB });
          await s.fill(volname, "data");
          await s.refused(t, "no-space", () => s.resize(volname, GiB), volname);
          await s.shows(t, volname, "data", { size: 2n * MiB });
          t.is((await s.info(volname)).size, s.rounded(2n * MiB));
          await s.resize(volname, 3n * MiB);
          await s.shows(t, volname, "data", { size: 3n * MiB, filled: 2n * MiB });
        },
      },
      {
        title: "an import that does not fit is refused for lack of space and leaves nothing",
        async ask(t, s) {
          const volname = subject.volname(100, "vm-100-disk-0", "raw");
          await s.leavesNothing(t, async () => {
            const stream = streamOf(Buffer.alloc(tooMuch, 7));
            const error = await failure(() => importStream(s, volname, sender(stream)));
            t.is(error?.code, "no-space", error?.message);
          });
          t.deepEqual(await s.list(), []);
          t.is(await importStream(s, volname, sender(streamOf(Buffer.alloc(1 << 20, 7)))), volname);
        },
      },
    ]),
};
