// SPDX-License-Identifier: AGPL-3.0-or-later
import { open } from "node:fs/promises";
import { MiB, pattern, readBytes } from "../bytes.js";
import type { Question, Topic } from "../question.js";

/** Names that PVE and users give. */
const snapNames = [
  "s1",
  "S1",
  "UPPER",
  "vzdump",
  "__migration__",
  "__replicate_100-0_1700000000__",
  "with-dash_and_underscore",
  "constructor",
  "current2",
  `s${"n".repeat(39)}`,
];

const wrongNames = [
  "",
  ".",
  "..",
  "../s1",
  "a/b",
  "/etc/passwd",
  "a b",
  " s1",
  "s1 ",
  "s1\n",
  "s1\0",
  "s1,s2",
  "s1@s2",
  "s1'",
  "-s1",
  "1s",
  "s.1",
  "\u00e4rger",
  "s".repeat(200),
];

/** Questions that all need the same thing. */
function withSnapshots(questions: Question[]): Question[] {
  return questions.map((question) => ({
    ...question,
    needs: ["snapshots" as const, ...(question.needs ?? [])],
  }));
}

export const snapshots: Topic = {
  name: "snapshots",
  questions: () =>
    withSnapshots([
      {
        title: "hold the data of their time while the volume goes on",
        async ask(t, s) {
          const volname = await s.alloc({ size: 2n * MiB });
          for (const seed of ["one", "two", "three"]) {
            await s.fill(volname, seed);
            await s.snapshot(volname, `at-${seed}`);
          }
          await s.fill(volname, "now");
          for (const seed of ["one", "two", "three"]) await s.shows(t, volname, seed, { snap: `at-${seed}` });
          await s.shows(t, volname, "now");
        },
      },
      {
        title: "hold the size of their time while the volume grows",
        async ask(t, s) {
          const volname = await s.alloc({ size: 2n * MiB });
          await s.fill(volname, "small");
          await s.snapshot(volname, "small");
          await s.resize(volname, 8n * MiB);
          await s.fill(volname, "large");
          await s.shows(t, volname, "small", { snap: "small", size: 2n * MiB });
          await s.shows(t, volname, "large", { size: 8n * MiB });
        },
      },
      {
        title: "are taken while a guest has the volume open and writes on",
        async ask(t, s) {
          const volname = await s.alloc({ size: 2n * MiB });
          const guest = await open(await s.map(volname), "r+");
          try {
            await guest.write(pattern("before", 4096), 0, 4096, 0);
            // A guest's writes go around the page cache of a device.
            if ((await guest.stat()).isBlockDevice()) await guest.datasync();
            await s.snapshot(volname, "s1");
            await guest.write(pattern("after", 4096), 0, 4096, 0);
            await guest.sync();
          } finally {
            await guest.close();
          }
          t.deepEqual(await readBytes(await s.map(volname, "s1"), 0n, 4096), pattern("before", 4096));
          t.deepEqual(await readBytes(await s.map(volname), 0n, 4096), pattern("after", 4096));
        },
      },
      {
        title: "have the names that PVE and users give them, case and all",
        async ask(t, s) {
          const volname = await s.alloc();
          for (const snap of snapNames) {
            await s.fill(volname, snap);
            await s.snapshot(volname, snap);
          }
          t.deepEqual(await s.snapshotNames(volname), [...snapNames].sort());
          for (const snap of snapNames) await s.shows(t, volname, snap, { snap });
        },
      },
      {
        title: "with other names are invalid",
        async ask(t, s) {
          const volname = await s.alloc();
          for (const snap of wrongNames) {
            for (const method of [
              "volume_snapshot",
              "volume_snapshot_delete",
              "volume_snapshot_rollback",
              "volume_rollback_is_possible",
            ]) {
              const result = await s.call(method, { volname, snap }).then(
                () => "succeeded",
                (error: { code?: string }) => error.code,
              );
              t.is(result, "invalid", `${method} ${JSON.stringify(snap)}`);
            }
          }
          t.deepEqual(await s.snapshots(volname), {});
        },
      },
      {
        title: "are told with a time and an identity of their own",
        async ask(t, s) {
          const [one, two] = [await s.alloc(), await s.alloc()];
          for (const volname of [one, two]) {
            await s.snapshot(volname, "first");
            await s.snapshot(volname, "second");
          }
          const all = [...Object.values(await s.snapshots(one)), ...Object.values(await s.snapshots(two))];
          t.is(all.length, 4);
          t.is(new Set(all.map(({ id }) => id)).size, 4);
          for (const { timestamp } of all) t.true(Math.abs(timestamp - Date.now() / 1000) < 3600);
          t.deepEqual(await s.at("node-b").snapshots(one), await s.snapshots(one));
        },
      },
      {
        title: "of a name that is used again have another identity",
        async ask(t, s) {
          const volname = await s.alloc();
          const seen = new Set<string | undefined>();
          for (let round = 0; round < 5; round++) {
            await s.snapshot(volname, "again");
            seen.add((await s.snapshots(volname))["again"]?.id);
            await s.deleteSnapshot(volname, "again");
          }
          t.is(seen.size, 5);
        },
      },
      {
        title: "keep their identity whatever happens beside them",
        async ask(t, s) {
          const volname = await s.alloc();
          await s.snapshot(volname, "kept");
          const before = (await s.snapshots(volname))["kept"];
          await s.fill(volname, "data");
          await s.activate(volname, "kept");
          await s.deactivate(volname, "kept");
          await s.snapshot(volname, "newer");
          await s.rollback(volname, "newer");
          await s.deleteSnapshot(volname, "newer");
          await s.resize(volname, 2n * MiB);
          t.deepEqual((await s.snapshots(volname))["kept"], before);
        },
      },
      {
        title: "of a taken name are refused, and the old one stays as it is",
        async ask(t, s) {
          const volname = await s.alloc();
          await s.fill(volname, "old");
          await s.snapshot(volname, "s1");
          const before = await s.snapshots(volname);
          await s.fill(volname, "new");
          await s.refused(t, "exists", () => s.snapshot(volname, "s1"), volname);
          t.deepEqual(await s.snapshots(volname), before);
          await s.shows(t, volname, "old", { snap: "s1" });
        },
      },
      {
        title: "of one name on two volumes are two",
        async ask(t, s) {
          const [one, two] = [await s.alloc(), await s.alloc()];
          for (const volname of [one, two]) {
            await s.fill(volname, volname);
            await s.snapshot(volname, "s1");
          }
          await s.deleteSnapshot(one, "s1");
          t.deepEqual(await s.snapshots(one), {});
          await s.shows(t, two, two, { snap: "s1" });
        },
      },
      {
        title: "are deleted in any order, and leave the others and the volume as they are",
        async ask(t, s) {
          const volname = await s.alloc();
          for (const snap of ["one", "two", "three"]) {
            await s.fill(volname, snap);
            await s.snapshot(volname, snap);
          }
          await s.fill(volname, "now");
          await s.deleteSnapshot(volname, "two");
          t.deepEqual(await s.snapshotNames(volname), ["one", "three"]);
          await s.shows(t, volname, "one", { snap: "one" });
          await s.deleteSnapshot(volname, "one");
          await s.shows(t, volname, "three", { snap: "three" });
          await s.deleteSnapshot(volname, "three");
          t.deepEqual(await s.snapshots(volname), {});
          await s.shows(t, volname, "now");
        },
      },
      {
        title: "are deleted while they are active, as backups of containers leave them",
        async ask(t, s) {
          const volname = await s.alloc();
          await s.leavesNothing(t, async () => {
            await s.snapshot(volname, "vzdump");
            await s.activate(volname, "vzdump");
            await s.map(volname, "vzdump");
            await s.deleteSnapshot(volname, "vzdump");
          });
          await s.refused(t, "absent", () => s.map(volname, "vzdump"));
        },
      },
      {
        title: "go with their volume",
        async ask(t, s) {
          await s.leavesNothing(t, async () => {
            const volname = await s.alloc();
            for (const snap of ["s1", "s2", "vzdump"]) {
              await s.snapshot(volname, snap);
              await s.fill(volname, snap);
            }
            t.true(await s.free(volname));
          });
          const again = await s.alloc();
          t.deepEqual(await s.snapshots(again), {});
        },
      },
      {
        title: "of a volume that does not exist are absent",
        async ask(t, s) {
          const absent = s.subject.volname(100, "vm-100-disk-0", "raw");
          await s.refused(t, "absent", () => s.snapshot(absent, "s1"), absent);
          await s.refused(t, "absent", () => s.snapshots(absent), absent);
          await s.refused(t, "absent", () => s.rollback(absent, "s1"), absent);
        },
      },
      {
        title: "cannot be resized",
        async ask(t, s) {
          const volname = await s.alloc();
          await s.snapshot(volname, "s1");
          await s.refused(t, ["unsupported", "invalid"], () =>
            s.call("volume_resize", { volname, size: `${8n * MiB}`, snap: "s1" }),
          );
          await s.shows(t, volname, "", { snap: "s1", size: MiB, filled: 0n });
        },
      },
    ]),
};
