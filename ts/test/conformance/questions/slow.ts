// SPDX-License-Identifier: AGPL-3.0-or-later
import type { ExecutionContext } from "ava";
import { fail } from "../../../src/common/errors.js";
import type { Question } from "../question.js";
import { failure, type Session, storeid } from "../session.js";

/** What each request takes on the slow array, and when callers hang up, in milliseconds. */
const requestMs = 60;
const moments = [30, 75, 100, 140, 170, 210, 250, 300];

/**
 * Hangs up at one moment after the other while a slow array is at work, and asserts that nothing is left of what was
 * given up.
 */
async function givenUp(
  t: ExecutionContext,
  s: Session,
  call: (how: { signal: AbortSignal }) => Promise<unknown>,
): Promise<void> {
  const before = await s.place.inventory();
  for (const moment of moments) {
    const quick = await s.place.slow?.(requestMs);
    const gone = new AbortController();
    const timer = setTimeout(() => gone.abort(fail("timeout", "the caller hung up")), moment);
    const error = await failure(() => call({ signal: gone.signal }));
    clearTimeout(timer);
    // What goes on after the answer keeps the guest's lock.
    const storage = s.storages.open(storeid, s.place.section);
    (await storage.lockGuests([100, 101], AbortSignal.timeout(30_000)))();
    quick?.();
    if (error === undefined) {
      t.pass("no later moment is of interest");
      return;
    }
    t.is(error.code, "timeout", error.message);
    t.deepEqual(await s.place.inventory(), before, `hung up after ${moment} ms`);
  }
}

/** Callers that hang up while the array takes its time, so that it carries out what nobody waits for. */
export const slowQuestions: readonly Question[] = [
  {
    title: "an allocation that a slow array carries out for nobody is taken back",
    hooks: ["slow"],
    async ask(t, s) {
      await givenUp(t, s, (how) => s.alloc({}, how));
    },
  },
  {
    title: "a snapshot that a slow array takes for nobody is taken back",
    hooks: ["slow"],
    needs: ["snapshots"],
    async ask(t, s) {
      const volname = await s.alloc();
      await givenUp(t, s, (how) => s.snapshot(volname, "late", how));
    },
  },
  {
    title: "a clone that a slow array makes for nobody is taken back",
    hooks: ["slow"],
    needs: ["linkedClones"],
    async ask(t, s) {
      const volname = await s.makeBase(await s.alloc());
      await givenUp(t, s, (how) => s.clone(volname, 101, null, how));
    },
  },
  {
    title: "a new name that a slow array gives for nobody is taken back",
    hooks: ["slow"],
    needs: ["rename"],
    async ask(t, s) {
      const volname = await s.alloc();
      await givenUp(t, s, (how) => s.rename(volname, 101, null, how));
    },
  },
  {
    title: "an import that a slow array begins for nobody leaves nothing",
    hooks: ["slow"],
    async ask(t, s) {
      const volname = s.subject.volname(100, "vm-100-disk-0", "raw");
      const args = { volname, size: "1048576", format: "raw+size", allowRename: false };
      await givenUp(t, s, (how) => s.call("volume_import", args, how));
      for (const token of s.leases.keys()) await s.abandon(token);
    },
  },
];
