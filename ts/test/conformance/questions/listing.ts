// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Question, Topic } from "../question.js";
import type { Session } from "../session.js";

/** Makes a volume of each kind that the storage has; returns the owner of each. */
async function oneOfEach(s: Session): Promise<Map<string, number>> {
  const { capabilities, fileName } = s.subject;
  const base = await s.makeBase(await s.alloc({ vmid: 1000 }));
  const owners = new Map<string, number>([
    [await s.alloc(), 100],
    [await s.alloc({ name: fileName("vm-100-cloudinit", "raw") }), 100],
    [base, 1000],
    [await s.alloc({ vmid: 1000 }), 1000],
  ]);
  if (capabilities.linkedClones) owners.set(await s.clone(base, 101), 101);
  if (capabilities.directories) owners.set(await s.alloc({ vmid: 101, format: "subvol" }), 101);
  return owners;
}

function sorted(owners: Map<string, number>, vmid?: number): string[] {
  return [...owners.keys()].filter((volname) => vmid === undefined || owners.get(volname) === vmid).sort();
}

export const listing: Topic = {
  name: "listing",
  questions: (subject) => [
    {
      title: "an empty storage lists nothing, for whomever",
      async ask(t, s) {
        t.deepEqual(await s.list(), []);
        t.deepEqual(await s.list(100), []);
        t.deepEqual(await s.list(null, []), []);
        t.deepEqual(await s.list(null, [subject.volname(100, "vm-100-disk-0", "raw")]), []);
      },
    },
    {
      title: "each volume is listed once, under exactly the name that it was given",
      async ask(t, s) {
        const made = await oneOfEach(s);
        t.deepEqual(await s.names(), sorted(made));
        t.deepEqual(await s.at("node-b").names(), sorted(made));
      },
    },
    {
      title: "each entry names its owner and says what the size info says",
      async ask(t, s) {
        const made = await oneOfEach(s);
        const entries = await s.list();
        t.is(entries.length, made.size);
        for (const entry of entries) {
          t.deepEqual(await s.info(entry.volname), entry);
          t.is(entry.vmid, made.get(entry.volname) ?? 0);
          t.is(entry.format, entry.volname.includes("subvol-") ? "subvol" : "raw");
        }
      },
    },
    {
      title: "by guest, those of this guest and of no other",
      async ask(t, s) {
        const made = await oneOfEach(s);
        for (const vmid of [100, 101, 999, 1000]) t.deepEqual(await s.names(vmid), sorted(made, vmid));
      },
    },
    {
      title: "by name, exactly those asked for, whoever owns them",
      async ask(t, s) {
        const [first = "", second = "", ...rest] = sorted(await oneOfEach(s));
        t.true(rest.length > 0);
        const absent = subject.volname(100, "vm-100-disk-99", "raw");
        const asked = [second, absent, first, second, first.toUpperCase(), "", "%"];
        t.deepEqual((await s.list(null, asked)).map((entry) => entry.volname).sort(), [first, second]);
        t.is((await s.list(999, [first])).length, 1, "the guest plays no part then");
        t.deepEqual(await s.list(null, []), []);
      },
    },
    {
      title: "snapshots are not volumes",
      needs: ["snapshots"],
      async ask(t, s) {
        const volname = await s.alloc();
        for (const snap of ["s1", "vm-100-disk-1", "vzdump", "__migration__"])
          await s.snapshot(volname, snap);
        t.deepEqual(await s.names(), [volname]);
        t.deepEqual(await s.names(100), [volname]);
        t.is(await s.alloc(), subject.volname(100, "vm-100-disk-1", "raw"));
      },
    },
    {
      title: "a clone that depends on its base names it",
      needs: ["linkedClones"],
      async ask(t, s) {
        const base = await s.makeBase(await s.alloc());
        const clone = await s.clone(base, 101);
        const { parent } = await s.info(clone);
        if (subject.capabilities.clonesDependOnBase) t.is(parent, base);
        else if (parent !== undefined) t.is(parent, base);
        t.is((await s.info(base)).parent, undefined);
      },
    },
    ...subject.foreign.map(
      (what): Question => ({
        title: `is not disturbed by ${what}`,
        async ask(t, s) {
          const before = await s.alloc();
          const own = await s.place.inventory();
          s.undo.add(`planted ${what}`, await s.place.plant(what, 100));
          const foreign = (await s.place.inventory()).filter((thing) => !own.includes(thing));
          t.true(foreign.length > 0, "something was planted");
          t.deepEqual(await s.names(), [before]);
          t.deepEqual(await s.names(100), [before]);
          t.deepEqual(await s.names(101), []);
          const after = await s.alloc();
          await s.fill(after, "data");
          await s.shows(t, after, "data");
          t.deepEqual(await s.names(), [before, after].sort());
          t.true(await s.free(before));
          t.true(await s.free(after));
          t.deepEqual(await s.list(), []);
          const left = await s.place.inventory();
          t.deepEqual(
            foreign.filter((thing) => !left.includes(thing)),
            [],
            "what is not ours stays",
          );
        },
      }),
    ),
  ],
};
