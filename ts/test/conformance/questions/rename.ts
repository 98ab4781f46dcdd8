// SPDX-License-Identifier: AGPL-3.0-or-later
import { MiB } from "../bytes.js";
import type { Question, Topic } from "../question.js";

/** Questions that all need the same thing. */
function withRename(questions: Question[]): Question[] {
  return questions.map((question) => ({
    ...question,
    needs: ["rename" as const, ...(question.needs ?? [])],
  }));
}

export const rename: Topic = {
  name: "rename",
  questions: ({ volname: nameOf, fileName, takes }) =>
    withRename([
      {
        title: "hands a volume with its data to another guest, under a free name",
        async ask(t, s) {
          const taken = await s.alloc({ vmid: 101 });
          const volname = await s.alloc({ size: 3n * MiB });
          await s.fill(volname, "data");
          const renamed = await s.rename(volname, 101);
          t.is(renamed, nameOf(101, "vm-101-disk-1", "raw"));
          await s.shows(t, renamed, "data", { size: 3n * MiB });
          t.deepEqual(await s.names(100), []);
          t.deepEqual(await s.names(101), [taken, renamed]);
          t.is((await s.info(renamed)).vmid, 101);
          await s.refused(t, "absent", () => s.info(volname), volname);
          t.is(await s.alloc(), volname, "the old name is free again");
        },
      },
      {
        title: "honours an exact name",
        async ask(t, s) {
          const volname = await s.alloc();
          await s.fill(volname, "data");
          const other = await s.rename(volname, 101, fileName("vm-101-disk-17", "raw"));
          t.is(other, nameOf(101, "vm-101-disk-17", "raw"));
          const stem = (takes?.("vm-101-data") ?? true) ? "vm-101-data" : "vm-101-disk-3";
          const same = await s.rename(other, 101, fileName(stem, "raw"));
          t.is(same, nameOf(101, stem, "raw"));
          t.deepEqual(await s.names(), [same]);
          await s.shows(t, same, "data");
        },
      },
      {
        title: "takes nobody's name",
        async ask(t, s) {
          const [one, two] = [await s.alloc({ vmid: 100 }), await s.alloc({ vmid: 101 })];
          for (const volname of [one, two]) await s.fill(volname, volname);
          await s.refused(t, "exists", () => s.rename(one, 101, fileName("vm-101-disk-0", "raw")), two);
          t.deepEqual(await s.names(), [one, two]);
          for (const volname of [one, two]) await s.shows(t, volname, volname);
        },
      },
      {
        title: "refuses the name of a third guest or of another format",
        async ask(t, s) {
          const volname = await s.alloc();
          await s.refused(t, "invalid", () => s.rename(volname, 101, fileName("vm-102-disk-0", "raw")));
          await s.refused(t, "invalid", () => s.rename(volname, 101, fileName("vm-100-disk-1", "raw")));
          if (fileName("x", "raw") !== fileName("x", "subvol")) {
            const name = fileName("subvol-101-disk-0", "subvol");
            await s.refused(t, "invalid", () => s.rename(volname, 101, name));
          }
          t.deepEqual(await s.names(), [volname]);
        },
      },
      {
        title: "is refused while snapshots hang on the volume",
        needs: ["snapshots"],
        async ask(t, s) {
          const volname = await s.alloc();
          await s.fill(volname, "data");
          await s.snapshot(volname, "s1");
          await s.refused(t, "refused", () => s.rename(volname, 101), volname);
          await s.refused(t, "refused", () => s.rename(volname, 100, fileName("vm-100-data", "raw")));
          await s.shows(t, volname, "data", { snap: "s1" });
          await s.deleteSnapshot(volname, "s1");
          await s.shows(t, await s.rename(volname, 101), "data");
        },
      },
      {
        title: "of a volume that does not exist is absent",
        async ask(t, s) {
          const absent = nameOf(100, "vm-100-disk-0", "raw");
          await s.refused(t, "absent", () => s.rename(absent, 101), absent);
          await s.refused(t, "absent", () => s.rename(absent, 101, fileName("vm-101-disk-0", "raw")), absent);
          t.deepEqual(await s.list(), []);
        },
      },
      {
        title: "follows a volume that is active",
        async ask(t, s) {
          const volname = await s.alloc();
          await s.fill(volname, "data");
          await s.activate(volname);
          const renamed = await s.rename(volname, 101);
          await s.activate(renamed);
          await s.shows(t, renamed, "data");
          await s.refused(t, "absent", () => s.map(volname), volname);
        },
      },
    ]),
};
