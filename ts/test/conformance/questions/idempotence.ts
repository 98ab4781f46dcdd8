// SPDX-License-Identifier: AGPL-3.0-or-later
import { MiB } from "../bytes.js";
import type { Topic } from "../question.js";

/** How often a verb is repeated. */
const times = 3;

export const idempotence: Topic = {
  name: "idempotence",
  questions: (subject) => [
    {
      title: "freeing again succeeds and says that there was nothing",
      async ask(t, s) {
        const volname = await s.alloc();
        t.true(await s.free(volname));
        await s.leavesNothing(t, async () => {
          for (let i = 0; i < times; i++) t.false(await s.free(volname));
        });
        t.false(await s.free(subject.volname(999, "vm-999-disk-0", "raw")), "a guest nobody knows");
        t.false(await s.free(subject.volname(100, "base-100-disk-0", "raw")));
        t.false(await s.at("node-b").free(volname));
      },
    },
    {
      title: "activating again succeeds",
      async ask(t, s) {
        const volname = await s.alloc();
        await s.fill(volname, "data");
        for (let i = 0; i < times; i++) {
          await s.activate(volname);
          t.is(await s.map(volname), s.place.path(volname, null));
        }
        await s.shows(t, volname, "data");
      },
    },
    {
      title: "deactivating what is not active, or not there, succeeds",
      async ask(t, s) {
        const volname = await s.alloc();
        await s.activate(volname);
        const absent = subject.volname(100, "vm-100-disk-7", "raw");
        await s.leavesNothing(t, async () => {
          for (let i = 0; i < times; i++) {
            await s.deactivate(volname);
            await s.deactivate(volname, "s1");
            await s.deactivate(absent);
            await s.deactivate(absent, "s1");
            t.is(await s.call("unmap_volume", { volname, snap: null }), null);
          }
        });
      },
    },
    {
      title: "deleting a snapshot again succeeds",
      needs: ["snapshots"],
      async ask(t, s) {
        const volname = await s.alloc();
        await s.fill(volname, "data");
        await s.snapshot(volname, "kept");
        await s.snapshot(volname, "s1");
        for (let i = 0; i < times; i++) await s.deleteSnapshot(volname, "s1");
        await s.deleteSnapshot(volname, "never");
        t.deepEqual(await s.snapshotNames(volname), ["kept"]);
        await s.shows(t, volname, "data", { snap: "kept" });
      },
    },
    {
      title: "deleting a snapshot of a volume that is gone succeeds, or is absent",
      needs: ["snapshots"],
      async ask(t, s) {
        const volname = await s.alloc();
        await s.snapshot(volname, "s1");
        await s.free(volname);
        await s.leavesNothing(t, async () => {
          const result = await s.deleteSnapshot(volname, "s1").then(
            () => "deleted",
            (error: { code?: string }) => error.code,
          );
          t.true(result === "deleted" || result === "absent", result);
        });
      },
    },
    {
      title: "making a base again of the same volume gives the same base",
      async ask(t, s) {
        const volname = await s.alloc();
        await s.fill(volname, "template");
        const base = await s.makeBase(volname);
        await s.leavesNothing(t, async () => {
          for (let i = 0; i < times; i++) {
            t.deepEqual(await s.call("create_base", { volname }), { volname: base });
          }
        });
        t.deepEqual(await s.names(), [base]);
        await s.shows(t, base, "template");
      },
    },
    {
      title: "resizing to the size that it has succeeds and keeps the data",
      async ask(t, s) {
        const volname = await s.alloc({ size: 2n * MiB });
        await s.fill(volname, "data");
        for (let i = 0; i < times; i++) {
          await s.resize(volname, 2n * MiB);
          await s.resize(volname, 2n * MiB, true);
        }
        await s.shows(t, volname, "data", { size: 2n * MiB });
      },
    },
    {
      title: "renaming again what has been renamed is absent, and changes nothing",
      needs: ["rename"],
      async ask(t, s) {
        const volname = await s.alloc();
        await s.fill(volname, "data");
        const name = subject.fileName("vm-101-disk-3", "raw");
        const renamed = await s.rename(volname, 101, name);
        for (let i = 0; i < times; i++) {
          await s.refused(t, "absent", () => s.call("rename_volume", { volname, vmid: 101, name }));
        }
        t.deepEqual(await s.names(), [renamed]);
        await s.shows(t, renamed, "data");
      },
    },
  ],
};
