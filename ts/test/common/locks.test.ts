// SPDX-License-Identifier: AGPL-3.0-or-later
import { setMaxListeners } from "node:events";
import test from "ava";
import { KeyedLocks } from "../../src/common/locks.js";

const never = new AbortController().signal;
setMaxListeners(0, never);

test("the same name is held by one at a time, in order of arrival", async (t) => {
  const locks = new KeyedLocks();
  const order: number[] = [];
  let inside = 0;
  await Promise.all(
    Array.from({ length: 50 }, async (_, index) => {
      const release = await locks.acquire(["a"], never);
      t.is(++inside, 1);
      order.push(index);
      await new Promise((resolve) => setImmediate(resolve));
      inside--;
      release();
    }),
  );
  t.deepEqual(
    order,
    Array.from({ length: 50 }, (_, index) => index),
  );
  t.is(locks.size, 0);
});

test("different names do not wait for each other", async (t) => {
  const locks = new KeyedLocks();
  const release = await locks.acquire(["a"], never);
  (await locks.acquire(["b"], never))();
  release();
  t.is(locks.size, 0);
});

test("two callers that want the same two names in opposite order both finish", async (t) => {
  const locks = new KeyedLocks();
  const work = async (keys: string[]) => {
    for (let round = 0; round < 100; round++) {
      const release = await locks.acquire(keys, never);
      await new Promise((resolve) => setImmediate(resolve));
      release();
    }
  };
  await Promise.all([work(["a", "b"]), work(["b", "a"])]);
  t.is(locks.size, 0);
});

test("a name given twice in one call is taken once", async (t) => {
  const locks = new KeyedLocks();
  (await locks.acquire(["a", "a"], never))();
  (await locks.acquire(["a"], never))();
  t.is(locks.size, 0);
});

test("an aborted wait gives up its place and lets those behind it through", async (t) => {
  const locks = new KeyedLocks();
  const release = await locks.acquire(["a"], never);
  const abort = new AbortController();
  const waiting = locks.acquire(["a"], abort.signal);
  const behind = locks.acquire(["a"], never);
  abort.abort(new Error("gone"));
  await t.throwsAsync(waiting, { message: "gone" });
  let entered = false;
  const done = behind.then((r) => {
    entered = true;
    r();
  });
  await new Promise((resolve) => setImmediate(resolve));
  t.false(entered, "the first holder still has it");
  release();
  await done;
  await new Promise((resolve) => setImmediate(resolve));
  t.is(locks.size, 0);
});

test("a caller that gets only one of its names gives that back", async (t) => {
  const locks = new KeyedLocks();
  const release = await locks.acquire(["b"], never);
  const abort = new AbortController();
  const waiting = locks.acquire(["a", "b"], abort.signal);
  await new Promise((resolve) => setImmediate(resolve));
  abort.abort(new Error("gone"));
  await t.throwsAsync(waiting);
  (await locks.acquire(["a"], never))();
  release();
  await new Promise((resolve) => setImmediate(resolve));
  t.is(locks.size, 0);
});
