// SPDX-License-Identifier: AGPL-3.0-or-later
import { MiB } from "../bytes.js";
import type { Question, Topic } from "../question.js";
import type { Session } from "../session.js";

/** Questions that all need the same thing. */
function withClones(questions: Question[]): Question[] {
  return questions.map((question) => ({
    ...question,
    needs: ["linkedClones" as const, ...(question.needs ?? [])],
  }));
}

/** A base whose data is "template". */
async function template(s: Session, size = MiB): Promise<string> {
  const volname = await s.alloc({ size });
  await s.fill(volname, "template");
  return s.makeBase(volname);
}

export const clones: Topic = {
  name: "clones",
  questions: ({ volname: nameOf, capabilities }) =>
    withClones([
      {
        title: "of a base start with its data and size, under a name of their own guest",
        async ask(t, s) {
          const base = await template(s, 3n * MiB);
          const clone = await s.clone(base, 101);
          const on = capabilities.clonesDependOnBase ? base : undefined;
          t.is(clone, nameOf(101, "vm-101-disk-0", "raw", on));
          await s.shows(t, clone, "template", { size: 3n * MiB });
          t.deepEqual(await s.names(), [base, clone].sort());
          t.deepEqual(await s.names(101), [clone]);
          t.is((await s.info(clone)).vmid, 101);
        },
      },
      {
        title: "of a base are written to without each other's or the base's notice",
        async ask(t, s) {
          const base = await template(s);
          const [one, two] = [await s.clone(base, 101), await s.clone(base, 102)];
          await s.fill(one, "one");
          await s.shows(t, one, "one");
          await s.shows(t, two, "template");
          await s.shows(t, base, "template");
          await s.fill(two, "two");
          await s.shows(t, one, "one");
          await s.shows(t, two, "two");
          await s.shows(t, base, "template");
          await s.shows(t, await s.clone(base, 103), "template");
        },
      },
      {
        title: "of a base into its own guest take a free number",
        async ask(t, s) {
          const base = await template(s);
          const clone = await s.clone(base, 100);
          const on = capabilities.clonesDependOnBase ? base : undefined;
          t.is(clone, nameOf(100, "vm-100-disk-1", "raw", on));
        },
      },
      {
        title: "of a snapshot start with its data and size, and go their own way",
        needs: ["snapshots"],
        async ask(t, s) {
          const volname = await s.alloc({ size: MiB });
          await s.fill(volname, "then");
          await s.snapshot(volname, "s1");
          await s.resize(volname, 2n * MiB);
          await s.fill(volname, "now");
          const clone = await s.clone(volname, 101, "s1");
          await s.shows(t, clone, "then", { size: MiB });
          await s.fill(clone, "clone");
          await s.shows(t, volname, "now", { size: 2n * MiB });
          await s.shows(t, volname, "then", { snap: "s1", size: MiB });
          await s.fill(volname, "later");
          await s.shows(t, clone, "clone", { size: MiB });
          await s.rollback(volname, "s1");
          await s.shows(t, volname, "then", { size: MiB });
        },
      },
      {
        title: "of a snapshot survive it, or keep it from being deleted",
        needs: ["snapshots"],
        async ask(t, s) {
          const volname = await s.alloc();
          await s.fill(volname, "then");
          await s.snapshot(volname, "s1");
          const clone = await s.clone(volname, 101, "s1");
          if (capabilities.clonesDependOnBase) {
            await s.refused(t, ["refused", "busy"], () => s.deleteSnapshot(volname, "s1"));
            t.deepEqual(await s.snapshotNames(volname), ["s1"]);
          } else {
            await s.deleteSnapshot(volname, "s1");
            await s.free(volname);
          }
          await s.shows(t, clone, "then");
        },
      },
      {
        title: "of a base survive it, or keep it from being freed",
        async ask(t, s) {
          const base = await template(s);
          const clone = await s.clone(base, 101);
          if (capabilities.clonesDependOnBase) {
            await s.refused(t, ["refused", "busy"], () => s.free(base), base);
            t.deepEqual(await s.names(), [base, clone].sort());
          } else {
            t.true(await s.free(base));
            t.deepEqual(await s.names(), [clone]);
          }
          await s.shows(t, clone, "template");
          await s.fill(clone, "own");
          await s.shows(t, clone, "own");
        },
      },
      {
        title: "grow, are snapshotted and rolled back as any volume",
        async ask(t, s) {
          const base = await template(s);
          const clone = await s.clone(base, 101);
          await s.resize(clone, 4n * MiB);
          await s.shows(t, clone, "template", { size: 4n * MiB, filled: MiB });
          await s.shows(t, base, "template", { size: MiB });
          if (!capabilities.snapshots) return;
          await s.snapshot(clone, "s1");
          await s.fill(clone, "own");
          await s.rollback(clone, "s1");
          await s.shows(t, clone, "template", { size: 4n * MiB, filled: MiB });
        },
      },
      {
        title: "become bases and are cloned again",
        async ask(t, s) {
          const base = await template(s);
          const clone = await s.clone(base, 101);
          await s.fill(clone, "second template");
          const second = await s.makeBase(clone);
          const on = capabilities.clonesDependOnBase ? base : undefined;
          t.is(second, nameOf(101, "base-101-disk-0", "raw", on));
          const last = await s.clone(second, 102);
          await s.fill(last, "own");
          await s.shows(t, second, "second template");
          await s.shows(t, base, "template");
          t.deepEqual(await s.names(), [base, second, last].sort());
        },
      },
      {
        title: "of a volume that is no base are refused",
        async ask(t, s) {
          const volname = await s.alloc();
          await s.refused(t, "refused", () => s.clone(volname, 101), volname);
          t.deepEqual(await s.names(), [volname]);
        },
      },
      {
        title: "of what does not exist are absent",
        async ask(t, s) {
          const base = nameOf(100, "base-100-disk-7", "raw");
          await s.refused(t, "absent", () => s.clone(base, 101), base);
          const gone = nameOf(100, "vm-100-disk-7", "raw");
          await s.refused(t, "absent", () => s.clone(gone, 101, "s1"), gone);
          const volname = await s.alloc();
          await s.refused(t, "absent", () => s.clone(volname, 101, "s1"), "s1");
          t.deepEqual(await s.names(), [volname]);
        },
      },
    ]),
};
