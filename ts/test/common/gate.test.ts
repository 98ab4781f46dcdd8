// SPDX-License-Identifier: AGPL-3.0-or-later
import test from "ava";
import { Gate } from "../../src/common/gate.js";

const signal = () => new AbortController().signal;
const turn = () => new Promise((resolve) => setImmediate(resolve));

test("no more than the width are inside, and all get in", async (t) => {
  const gate = new Gate(3);
  let inside = 0;
  let most = 0;
  let done = 0;
  await Promise.all(
    Array.from({ length: 20 }, async () => {
      const leave = await gate.enter(signal());
      most = Math.max(most, ++inside);
      await turn();
      inside--;
      done++;
      leave();
      leave();
    }),
  );
  t.is(most, 3);
  t.is(done, 20);
});

test("one who gives up waiting takes nobody's place", async (t) => {
  const gate = new Gate(1);
  const leave = await gate.enter(signal());
  const abort = new AbortController();
  const given = gate.enter(abort.signal);
  const patient = gate.enter(signal());
  abort.abort(new Error("enough"));
  await t.throwsAsync(given, { message: "enough" });
  leave();
  (await patient)();
  (await gate.enter(signal()))();
  await t.throwsAsync(gate.enter(abort.signal), { message: "enough" });
});
