// SPDX-License-Identifier: AGPL-3.0-or-later
import { MiB } from "../bytes.js";
import type { Topic } from "../question.js";

export const allocation: Topic = {
  name: "allocation",
  questions: (subject) => [
    {
      title: "a new volume can be written, read and freed",
      async ask(t, s) {
        await s.leavesNothing(t, async () => {
          const volname = await s.alloc({ size: 4n * MiB });
          await s.fill(volname, "data");
          await s.shows(t, volname, "data", { size: 4n * MiB });
          t.true(await s.free(volname));
        });
        t.deepEqual(await s.list(), []);
      },
    },
    {
      title: "volumes of one guest have their own data",
      async ask(t, s) {
        const volumes = [await s.alloc(), await s.alloc(), await s.alloc({ vmid: 101 })];
        for (const volname of volumes) await s.fill(volname, volname);
        for (const volname of volumes) await s.shows(t, volname, volname);
        await s.free(volumes[1] ?? "");
        await s.shows(t, volumes[0] ?? "", volumes[0] ?? "");
        await s.shows(t, volumes[2] ?? "", volumes[2] ?? "");
      },
    },
    {
      title: "a new volume reads as zeros throughout, also where another one was",
      needs: ["zeroedOnCreate"],
      async ask(t, s) {
        const size = 2n * MiB;
        for (let round = 0; round < 3; round++) {
          const volname = await s.alloc({ size });
          await s.readsZero(t, volname, 0n, Number(size));
          await s.fill(volname, `round ${round}`);
          await s.free(volname);
        }
      },
    },
    {
      title: "a volume is freed while it is active, as nothing promises a deactivation",
      async ask(t, s) {
        const volname = await s.alloc();
        await s.activate(volname);
        await s.map(volname);
        t.true(await s.free(volname));
        t.deepEqual(await s.list(), []);
      },
    },
    {
      title: "freeing one guest's last volume leaves those of others",
      async ask(t, s) {
        const [mine, other] = [await s.alloc({ vmid: 100 }), await s.alloc({ vmid: 1000 })];
        t.true(await s.free(mine));
        t.deepEqual(await s.names(), [other]);
        t.is(await s.alloc({ vmid: 100 }), mine);
      },
    },
    {
      title: "a format that PVE does not name here is refused",
      async ask(t, s) {
        for (const format of ["qcow2", "vmdk", "", "RAW", null, 1]) {
          const args = { vmid: 100, format, name: null, size: "1048576" };
          await s.refused(t, ["invalid", "unsupported"], () => s.call("alloc_image", args));
        }
        t.deepEqual(await s.list(), [], subject.name);
      },
    },
  ],
};
