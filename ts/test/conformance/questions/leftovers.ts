// SPDX-License-Identifier: AGPL-3.0-or-later
import type { ExecutionContext } from "ava";
import type { Question, Topic } from "../question.js";
import type { Session } from "../session.js";
import { importStream, sender, streamOf } from "../streams.js";

/** Plants a snapshot of a volume that does not exist, makes the volume in some way, and looks for the snapshot. */
function neverShown(
  title: string,
  make: (s: Session, volname: string) => Promise<string>,
  needs: Question["needs"] = [],
): Question {
  return {
    title: `a crash's old snapshot does not show on a volume ${title}`,
    needs: ["snapshots", ...needs],
    hooks: ["orphanSnapshot"],
    async ask(t: ExecutionContext, s: Session) {
      const volname = s.subject.volname(100, "vm-100-disk-0", "raw");
      await s.place.orphanSnapshot?.(volname, "old");
      t.deepEqual(await s.list(), []);
      t.is(await make(s, volname), volname);
      t.deepEqual(await s.snapshots(volname), {});
      await s.refused(t, "absent", () => s.rollback(volname, "old"));
      await s.snapshot(volname, "old");
      t.deepEqual(await s.snapshotNames(volname), ["old"]);
    },
  };
}

export const leftovers: Topic = {
  name: "leftovers",
  questions: ({ fileName }) => [
    {
      title: "are none of what is there, whether in use or not",
      async ask(t, s) {
        const found = async () =>
          ((await s.call("leftovers")) as { keep?: string }[]).filter(({ keep }) => keep === undefined);
        const volname = await s.alloc();
        t.deepEqual(await found(), [], "a volume");
        await s.activate(volname);
        t.deepEqual(await found(), [], "an active one");
        if (s.subject.capabilities.snapshots) {
          await s.snapshot(volname, "one");
          t.deepEqual(await found(), [], "one with a snapshot");
          await s.activate(volname, "one");
          t.deepEqual(await found(), [], "an active snapshot");
          await s.deactivate(volname, "one");
        }
        await s.deactivate(volname);
        t.deepEqual(await found(), [], "one that was active");
      },
    },
    neverShown("that takes the name by chance", (s) => s.alloc()),
    neverShown("that takes the name on purpose", (s) => s.alloc({ name: fileName("vm-100-disk-0", "raw") })),
    neverShown("that is a clone", async (s) => s.clone(await s.makeBase(await s.alloc({ vmid: 101 })), 100), [
      "linkedClones",
    ]),
    neverShown("that was renamed", async (s) => s.rename(await s.alloc({ vmid: 101 }), 100), ["rename"]),
    neverShown("that was imported", (s, volname) =>
      importStream(s, volname, sender(streamOf(Buffer.alloc(4096, 1)))),
    ),
    {
      title: "of a crash go when the volume is freed once more",
      needs: ["snapshots"],
      hooks: ["orphanSnapshot"],
      async ask(t, s) {
        const volname = s.subject.volname(100, "vm-100-disk-0", "raw");
        await s.leavesNothing(t, async () => {
          await s.place.orphanSnapshot?.(volname, "old");
          t.false(await s.free(volname));
        });
      },
    },
  ],
};
