// SPDX-License-Identifier: AGPL-3.0-or-later
import { setTimeout as sleep } from "node:timers/promises";
import type { ExecutionContext } from "ava";
import { fail } from "../../../src/common/errors.js";
import { overBridge } from "../bridge.js";
import { eventually } from "../eventually.js";
import type { Topic } from "../question.js";
import { failure, type Session, storeid } from "../session.js";
import { slowQuestions } from "./slow.js";

/** What "promptly" may take on a loaded machine, in milliseconds. */
const promptMs = 4_000;

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

/** How often a call is cut off, each time a little later. */
const rounds = 60;

/** Runs `call` with a signal that aborts after `ms` milliseconds, as a caller who hangs up makes it. */
async function hangingUp<T>(ms: number, call: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const gone = new AbortController();
  const timer = setTimeout(() => gone.abort(fail("timeout", "the caller hung up")), ms);
  try {
    return await call(gone.signal);
  } finally {
    clearTimeout(timer);
  }
}

/** Cuts a call off at many moments and asserts that the volumes that are there are those that were told of. */
async function cutOff(
  t: ExecutionContext,
  s: Session,
  call: (ms: number) => Promise<unknown>,
): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    const error = await failure(() => call(0.5 + (round % 30) / 2));
    t.true(error === undefined || error.code === "timeout", error?.message);
  }
  await quiet(s, 100);
  t.deepEqual(await s.names(), known(s));
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
        await cutOff(t, s, (deadlineMs) => s.alloc({}, { deadlineMs }));
      },
    },
    {
      title: "an allocation whose caller hangs up leaves no volume that nobody knows of",
      async ask(t, s) {
        await cutOff(t, s, (ms) => hangingUp(ms, (signal) => s.alloc({}, { signal })));
      },
    },
    {
      title: "a clone whose caller hangs up leaves no volume that nobody knows of",
      needs: ["linkedClones"],
      async ask(t, s) {
        const base = await s.makeBase(await s.alloc());
        await cutOff(t, s, (ms) => hangingUp(ms, (signal) => s.clone(base, 100, null, { signal })));
      },
    },
    {
      title: "an import that was answered with timeout holds nothing, neither name nor lease",
      async ask(t, s) {
        const before = await s.place.inventory();
        const volname = subject.volname(100, "vm-100-disk-0", "raw");
        const args = { volname, size: "1048576", format: "raw+size", allowRename: false };
        for (let round = 0; round < rounds; round++) {
          const call = s.call("volume_import", args, { deadlineMs: 0.5 + (round % 30) / 2 });
          const error = await failure(() => call);
          await quiet(s, 100);
          if (error === undefined) await s.abandon([...s.leases.keys()][0] ?? "");
          else t.is(error.code, "timeout", error.message);
          t.is(s.leases.size, 0, "what nobody has the token of cannot be given up");
          t.is(await s.freeName(), subject.fileName("vm-100-disk-0", "raw"));
          t.deepEqual(await s.place.inventory(), before);
        }
      },
    },
    {
      title: "an import whose client hangs up before its answer leaves nothing, and the name is free",
      async ask(t, s) {
        const before = await s.place.inventory();
        const volname = subject.volname(100, "vm-100-disk-0", "raw");
        const args = { volname, size: "1048576", format: "raw+size", allowRename: false };
        const first = subject.fileName("vm-100-disk-0", "raw");
        await overBridge(s, async (connect) => {
          for (let round = 0; round < rounds / 3; round++) {
            const client = await connect();
            const answer = failure(() => client.call("volume_import", args));
            await sleep((round % 10) / 2);
            await Promise.all([client.hangUp(), answer]);
            const state = await eventually(
              async () => ({ name: await s.freeName(), left: await s.place.inventory() }),
              ({ name, left }) => name === first && left.join() === before.join(),
            );
            t.deepEqual(state, { name: first, left: before }, `hung up after ${(round % 10) / 2} ms`);
          }
        });
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
    ...slowQuestions,
  ],
};

/** The volumes that the test has been told of. */
function known(s: Session): string[] {
  return s.undo
    .keys("volume ")
    .map((key) => key.slice("volume ".length))
    .sort();
}
