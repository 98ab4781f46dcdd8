// SPDX-License-Identifier: AGPL-3.0-or-later
import { MiB } from "../bytes.js";
import type { Topic } from "../question.js";

export const rollback: Topic = {
  name: "rollback",
  questions: (subject) => [
    {
      title: "brings data and size back",
      needs: ["snapshots"],
      async ask(t, s) {
        const volname = await s.alloc({ size: 2n * MiB });
        await s.fill(volname, "old");
        await s.snapshot(volname, "s1");
        await s.resize(volname, 8n * MiB);
        await s.fill(volname, "new");
        await s.rollback(volname, "s1");
        await s.shows(t, volname, "old", { size: 2n * MiB });
        t.is((await s.info(volname)).size, s.rounded(2n * MiB));
        t.deepEqual(
          (await s.list()).map(({ volname: name, size }) => [name, size]),
          [[volname, s.rounded(2n * MiB)]],
        );
      },
    },
    {
      title: "leaves the snapshot as it was, to be rolled back to again",
      needs: ["snapshots"],
      async ask(t, s) {
        const volname = await s.alloc();
        await s.fill(volname, "old");
        await s.snapshot(volname, "s1");
        const before = await s.snapshots(volname);
        for (const round of ["first", "second"]) {
          await s.fill(volname, round);
          await s.rollback(volname, "s1");
          await s.shows(t, volname, "old");
          await s.fill(volname, `${round}, after`);
          await s.shows(t, volname, "old", { snap: "s1" });
        }
        t.deepEqual(await s.snapshots(volname), before);
      },
    },
    {
      title: "goes to any snapshot and back, and keeps the newer ones",
      needs: ["snapshots", "rollbackToAny"],
      async ask(t, s) {
        const volname = await s.alloc({ size: 1n * MiB });
        for (const [snap, size] of [
          ["one", 1n],
          ["two", 2n],
          ["three", 3n],
        ] as const) {
          await s.resize(volname, size * MiB);
          await s.fill(volname, snap);
          await s.snapshot(volname, snap);
        }
        for (const [snap, size] of [
          ["one", 1n],
          ["three", 3n],
          ["two", 2n],
        ] as const) {
          t.deepEqual(await s.rollbackPossible(volname, snap), { possible: true, blockers: [] });
          await s.rollback(volname, snap);
          await s.shows(t, volname, snap, { size: size * MiB });
          t.deepEqual(await s.snapshotNames(volname), ["one", "three", "two"]);
        }
        await s.shows(t, volname, "one", { snap: "one", size: MiB });
        await s.shows(t, volname, "three", { snap: "three", size: 3n * MiB });
      },
    },
    {
      title: "to an older snapshot tells which newer ones are in the way, where they are",
      needs: ["snapshots"],
      async ask(t, s) {
        const volname = await s.alloc();
        for (const snap of ["one", "two", "three"]) {
          await s.fill(volname, snap);
          await s.snapshot(volname, snap);
        }
        t.deepEqual(await s.rollbackPossible(volname, "three"), { possible: true, blockers: [] });
        const answer = await s.rollbackPossible(volname, "one");
        if (subject.capabilities.rollbackToAny) {
          t.deepEqual(answer, { possible: true, blockers: [] });
          return;
        }
        t.false(answer.possible);
        t.deepEqual([...answer.blockers].sort(), ["three", "two"]);
        await s.refused(t, "refused", () => s.rollback(volname, "one"), "two");
        await s.shows(t, volname, "three");
        await s.deleteSnapshot(volname, "three");
        await s.deleteSnapshot(volname, "two");
        await s.rollback(volname, "one");
        await s.shows(t, volname, "one");
      },
    },
    {
      title: "to a snapshot that does not exist is absent, and leaves the data",
      needs: ["snapshots"],
      async ask(t, s) {
        const volname = await s.alloc();
        await s.fill(volname, "data");
        await s.snapshot(volname, "s1");
        await s.refused(t, "absent", () => s.rollback(volname, "s2"), "s2");
        await s.refused(t, "absent", () => s.rollback(volname, "S1"), "S1");
        const answer = await s.rollbackPossible(volname, "s2");
        t.false(answer.possible);
        t.deepEqual(answer.blockers, []);
        t.true((answer.reason ?? "").includes("s2"));
        await s.shows(t, volname, "data");
      },
    },
    {
      title: "leaves a volume that can be written, grown, renamed and snapshotted as before",
      needs: ["snapshots"],
      async ask(t, s) {
        const volname = await s.alloc({ size: MiB });
        await s.snapshot(volname, "s1");
        await s.rollback(volname, "s1");
        await s.fill(volname, "after");
        await s.snapshot(volname, "s2");
        await s.resize(volname, 2n * MiB);
        await s.shows(t, volname, "after", { size: 2n * MiB, filled: MiB });
        await s.deleteSnapshot(volname, "s2");
        await s.deleteSnapshot(volname, "s1");
        if (!subject.capabilities.rename) return;
        await s.shows(t, await s.rename(volname, 101), "after", { filled: MiB });
      },
    },
    {
      title: "of a volume in use is busy and changes nothing",
      needs: ["snapshots"],
      hooks: ["hold"],
      async ask(t, s) {
        const volname = await s.alloc();
        await s.fill(volname, "old");
        await s.snapshot(volname, "s1");
        await s.fill(volname, "new");
        const release = await s.place.hold?.(await s.map(volname));
        try {
          await s.refused(t, "busy", () => s.rollback(volname, "s1"), volname);
          await s.shows(t, volname, "new");
        } finally {
          await release?.();
        }
        await s.rollback(volname, "s1");
        await s.shows(t, volname, "old");
      },
    },
  ],
};
