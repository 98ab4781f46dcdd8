// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Question, Topic } from "../question.js";

export const storage: Topic = {
  name: "storage",
  questions: (subject) => [
    {
      title: "is active, and its numbers add up",
      async ask(t, s) {
        const { active, ...numbers } = (await s.call("status")) as Record<string, unknown>;
        t.is(active, true);
        t.deepEqual(Object.keys(numbers).sort(), ["avail", "total", "used"]);
        for (const number of Object.values(numbers)) t.regex(number as string, /^\d+$/);
        const [avail = 0n, total = 0n, used = 0n] = Object.entries(numbers)
          .sort()
          .map(([, number]) => BigInt(number as string));
        t.true(total > 0n);
        t.true(avail <= total);
        t.true(used <= total);
        t.true(await s.call("check_connection"));
      },
    },
    {
      title: "can be activated again and again, which leaves nothing new",
      async ask(t, s) {
        const volname = await s.alloc();
        await s.leavesNothing(t, async () => {
          for (let i = 0; i < 3; i++) t.is(await s.call("activate_storage"), null);
        });
        t.deepEqual(await s.names(), [volname]);
      },
    },
    {
      title: "accepts its section when it is added, changed and removed, and keeps its volumes",
      async ask(t, s) {
        const volname = await s.alloc();
        await s.leavesNothing(t, async () => {
          t.is(await s.call("on_add_hook", { sensitive: subject.secrets ?? {} }), null);
          t.is(await s.call("on_update_hook", { update: {}, delete: [] }), null);
          t.is(await s.call("on_delete_hook"), null);
        });
        t.deepEqual(await s.names(), [volname]);
      },
    },
    {
      title:
        "has an identity: one for a place, whatever the storage is called, and another for another place",
      async ask(t, s) {
        const identity = (await s.call("get_identity")) as string;
        t.regex(identity, /^\S+$/);
        t.is(await s.call("get_identity", {}, { storeid: "another-name" }), identity);
        t.is(await s.at("node-b").call("get_identity"), identity);
        const other = await s.elsewhere(await s.site.place());
        t.not(await other.call("get_identity"), identity);
      },
    },
    {
      title: "keeps apart what lies in two places",
      async ask(t, s) {
        const here = await s.alloc();
        await s.fill(here, "here");
        const other = await s.elsewhere(await s.site.place());
        t.deepEqual(await other.list(), []);
        const there = await other.alloc();
        t.is(there, here, "the numbering of another storage plays no part");
        await other.fill(there, "there");
        await s.shows(t, here, "here");
        await other.free(there);
        t.deepEqual(await s.names(), [here]);
      },
    },
    ...Object.entries(subject.malformed).map(
      ([what, change]): Question => ({
        title: `refuses a section with ${what}`,
        async ask(t, s) {
          const section = { ...s.place.section, ...change };
          for (const method of ["on_add_hook", "activate_storage", "list_images"]) {
            await s.refused(t, "invalid", () => s.call(method, {}, { section }));
          }
        },
      }),
    ),
  ],
};
