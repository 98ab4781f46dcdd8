// SPDX-License-Identifier: AGPL-3.0-or-later
import type { ExecutionContext } from "ava";
import { fail } from "../../../src/common/errors.js";
import type { Topic } from "../question.js";
import { failure, type Session, storeid } from "../session.js";

/** What "promptly" may take on a loaded machine, in milliseconds. */
const promptMs = 1500;

/** Takes a guest's lock, as a call that is at work does. */
async function occupyGuest(s: Session, vmid: number): Promise<() => void> {
  const storage = s.storages.open(storeid, s.place.section);
  return storage.lockGuests([vmid], AbortSignal.timeout(10_000));
}

/** Waits until no call for this guest is at work. */
async function quiet(s: Session, vmid: number): Promise<void> {
  (await occupyGuest(s, vmid))();
}

/** Asserts that `call` ends as `timeout`, promptly. */
async function endsPromptly(t: ExecutionContext, call: () => Promise<unknown>): Promise<void> {
  const started = performance.now();
  const error = await failure(call);
  const took = performance.now() - started;
  t.is(error?.code, "timeout", error?.message);
  t.true(took < promptMs, `it took ${Math.round(took)} ms`);
}

export const deadlines: Topic = {
  name: "deadlines",
  questions: (subject) => [
    {
      title: "a call that waits for another one of its guest ends on time and has done nothing",
      async ask(t, s) {
        const volname = await s.alloc();
        await s.fill(volname, "data");
        const before = await s.place.inventory();
        const release = await occupyGuest(s, 100);
        try {
          await endsPromptly(t, () => s.alloc({}, { deadlineMs: 100 }));
          await endsPromptly(t, () => s.free(volname, { deadlineMs: 100 }));
          t.is(await s.alloc({ vmid: 101 }), subject.volname(101, "vm-101-disk-0", "raw"), "others go on");
          await s.free(subject.volname(101, "vm-101-disk-0", "raw"));
          t.deepEqual(await s.names(), [volname], "and questions are answered");
        } finally {
          release();
        }
        await quiet(s, 100);
        t.deepEqual(await s.place.inventory(), before);
        await s.shows(t, volname, "data");
        t.is(await s.alloc(), subject.volname(100, "vm-100-disk-1", "raw"));
      },
    },
    {
      title: "a caller that hangs up while it waits gets nothing done",
      async ask(t, s) {
        const before = await s.place.inventory();
        const release = await occupyGuest(s, 100);
        try {
          const gone = new AbortController();
          setTimeout(() => gone.abort(fail("timeout", "the caller hung up")), 50);
          await endsPromptly(t, () => s.alloc({}, { signal: gone.signal }));
        } finally {
          release();
        }
        await quiet(s, 100);
        t.deepEqual(await s.place.inventory(), before);
      },
    },
    {
      title: "an allocation that was answered with timeout leaves no volume that nobody knows of",
      async ask(t, s) {
        const outcomes = new Set<string>();
        for (let round = 0; round < 60; round++) {
          const error = await failure(() => s.alloc({}, { deadlineMs: 0.5 + (round % 30) / 2 }));
          outcomes.add(error?.code ?? "made");
        }
        await quiet(s, 100);
        t.log([...outcomes].join(", "));
        t.true([...outcomes].every((outcome) => ["made", "timeout"].includes(outcome)));
        t.deepEqual(await s.names(), known(s));
      },
    },
    {
      title: "an allocation whose caller hangs up leaves no volume that nobody knows of",
      async ask(t, s) {
        for (let round = 0; round < 60; round++) {
          const gone = new AbortController();
          const timer = setTimeout(() => gone.abort(fail("timeout", "the caller hung up")), (round % 30) / 2);
          const error = await failure(() => s.alloc({}, { signal: gone.signal }));
          clearTimeout(timer);
          t.true(error === undefined || error.code === "timeout", error?.message);
        }
        await quiet(s, 100);
        t.deepEqual(await s.names(), known(s));
      },
    },
    {
      title: "freeing a volume in use that runs out of time does not free it later",
      hooks: ["hold"],
      async ask(t, s) {
        const volname = await s.alloc();
        await s.fill(volname, "data");
        const release = await s.place.hold?.(await s.map(volname));
        try {
          const started = performance.now();
          const error = await failure(() => s.free(volname, { deadlineMs: 200 }));
          t.true(["timeout", "busy"].includes(error?.code ?? ""), error?.message);
          t.true(performance.now() - started < promptMs);
        } finally {
          await release?.();
        }
        await quiet(s, 100);
        t.deepEqual(await s.names(), [volname]);
        await s.shows(t, volname, "data");
      },
    },
  ],
};

/** The volumes that the test has been told of. */
function known(s: Session): string[] {
  return s.undo
    .keys("volume ")
    .map((key) => key.slice("volume ".length))
    .sort();
}
