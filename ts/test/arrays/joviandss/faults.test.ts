// SPDX-License-Identifier: AGPL-3.0-or-later
import test from "ava";
import { randomFrom } from "../../../sim/common/random.js";
import { access, iqn, mib, spec, start } from "./fake.js";

const plan = {
  delay: 0.1,
  maxDelayMs: 5,
  resetBefore: 0.08,
  resetAfter: 0.08,
  garbage: 0.06,
  nullData: 0.1,
  clash: 0.1,
};

for (const seed of [1, 2, 3]) {
  test(`guests that come and go while everything fails now and then, seed ${seed}`, async (t) => {
    const pausesMs = Array<number>(20).fill(2);
    const { client, ctx, sim } = await start(t, { seed, faults: plan }, { limits: { pausesMs } });
    const { volumes, snapshots, targets } = client;
    const random = randomFrom(seed);
    await targets.create(ctx, iqn, access);
    const guest = async (name: string, lun: number) => {
      for (let round = 0; round < 3; round++) {
        await volumes.create(ctx, name, spec);
        await snapshots.create(ctx, name, "s_1");
        await volumes.clone(ctx, { volume: name, snapshot: "s_1" }, `${name}-clone`, { thin: true });
        await targets.attach(ctx, iqn, name, lun);
        t.like(await targets.attachments(ctx, name), [{ target: iqn, lun }]);
        if (random() < 0.5) await volumes.resize(ctx, name, 2n * mib);
        t.true(await targets.detach(ctx, iqn, name));
        await volumes.rename(ctx, `${name}-clone`, `${name}-renamed`);
        t.true(await volumes.delete(ctx, `${name}-renamed`, { recursive: false }));
        t.true(await volumes.delete(ctx, name, { recursive: true }));
        t.is(await volumes.find(ctx, name), undefined);
      }
    };
    await Promise.all([0, 1, 2, 3].map((n) => guest(`v_vm-10${n}-disk-0`, n)));
    t.true(await targets.delete(ctx, iqn));
    t.deepEqual(sim.check({ volumes: [] }), []);
    t.true(sim.journal.entries.some(({ faults }) => faults.length > 0));
  });
}
