// SPDX-License-Identifier: AGPL-3.0-or-later
import { setTimeout as sleep } from "node:timers/promises";
import { MiB } from "../bytes.js";
import type { Question, Topic } from "../question.js";
import { failure, type Session } from "../session.js";

/** How many callers do the same at once. */
const many = 32;

/** Runs `task` many times at once and returns the codes of what failed and the results of the rest. */
async function atOnce<T>(
  task: (index: number) => Promise<T>,
  count = many,
): Promise<{ results: T[]; codes: string[] }> {
  const settled = await Promise.allSettled(Array.from({ length: count }, (_, index) => task(index)));
  return {
    results: settled.flatMap((one) => (one.status === "fulfilled" ? [one.value] : [])),
    codes: settled.flatMap((one) =>
      one.status === "rejected" ? [(one.reason as { code?: string }).code ?? String(one.reason)] : [],
    ),
  };
}

/** Pseudo-random numbers from a seed, so that a failing order can be repeated. */
function random(seed: number): (below: number) => number {
  let state = seed >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % below;
  };
}

/** What a caller of the race believes to be true of the volumes that it alone uses. */
interface Belief {
  readonly volname: string;
  data: string;
  readonly snapshots: Map<string, string>;
}

/** One caller of the race: makes, fills, snapshots, rolls back and frees its own volumes of a shared guest. */
async function racer(s: Session, seed: number, steps: number): Promise<Belief[]> {
  const next = random(seed);
  const mine: Belief[] = [];
  const { snapshots } = s.subject.capabilities;
  for (let step = 0; step < steps; step++) {
    const volume = mine[next(mine.length || 1)];
    const what = next(6);
    const snap = `s${next(3)}`;
    if (volume === undefined || what === 0) {
      const volname = await s.alloc({ size: MiB });
      mine.push({ volname, data: `${seed}/${step}`, snapshots: new Map() });
      await s.fill(volname, `${seed}/${step}`);
    } else if (what === 1) {
      await s.free(volume.volname);
      mine.splice(mine.indexOf(volume), 1);
    } else if (what === 2 || !snapshots) {
      await s.fill(volume.volname, `${seed}/${step}`);
      volume.data = `${seed}/${step}`;
    } else if (what === 3 && !volume.snapshots.has(snap)) {
      await s.snapshot(volume.volname, snap);
      volume.snapshots.set(snap, volume.data);
    } else if (what === 4) {
      await s.deleteSnapshot(volume.volname, snap);
      volume.snapshots.delete(snap);
    } else if (volume.snapshots.has(snap) && s.subject.capabilities.rollbackToAny) {
      await s.rollback(volume.volname, snap);
      volume.data = volume.snapshots.get(snap) ?? "";
    }
  }
  return mine;
}

export const concurrency: Topic = {
  name: "concurrency",
  questions: (subject) => {
    const disk = (index: number) => subject.volname(100, `vm-100-disk-${index}`, "raw");
    const all = Array.from({ length: many }, (_, index) => disk(index)).sort();

    const race = (seed: number): Question => ({
      title: `callers at work on one guest do not harm each other (order ${seed})`,
      async ask(t, s) {
        const callers = await Promise.all([1, 2, 3, 4].map((caller) => racer(s, seed * 10 + caller, 15)));
        const volumes = callers.flat();
        t.deepEqual(await s.names(100), volumes.map(({ volname }) => volname).sort());
        for (const { volname, data, snapshots } of volumes) {
          await s.shows(t, volname, data, { size: MiB });
          if (!subject.capabilities.snapshots) continue;
          t.deepEqual(await s.snapshotNames(volname), [...snapshots.keys()].sort());
          for (const [snap, then] of snapshots) await s.shows(t, volname, then, { snap });
        }
      },
    });

    return [
      {
        title: `${many} allocations at once get the ${many} lowest numbers`,
        async ask(t, s) {
          const { results, codes } = await atOnce(() => s.alloc());
          t.deepEqual(codes, []);
          t.deepEqual(results.sort(), all);
          t.deepEqual(await s.names(), all);
        },
      },
      {
        title: `${many} allocations at once on two nodes get ${many} names`,
        needs: ["atomicNames"],
        async ask(t, s) {
          const other = s.at("node-b");
          const { results, codes } = await atOnce((index) => (index % 2 ? s : other).alloc());
          t.deepEqual(codes, []);
          t.deepEqual(results.sort(), all);
          t.deepEqual(await s.names(), all);
        },
      },
      {
        title: "of many allocations of one name one succeeds",
        async ask(t, s) {
          const name = subject.fileName("vm-100-cloudinit", "raw");
          const { results, codes } = await atOnce(() => s.alloc({ name }));
          t.deepEqual(results, [subject.volname(100, "vm-100-cloudinit", "raw")]);
          t.deepEqual(codes, Array(many - 1).fill("exists"));
        },
      },
      {
        title: "of many allocations of one name on two nodes one succeeds",
        needs: ["atomicNames"],
        async ask(t, s) {
          const other = s.at("node-b");
          const name = subject.fileName("vm-100-cloudinit", "raw");
          const { results, codes } = await atOnce((index) => (index % 2 ? s : other).alloc({ name }));
          t.is(results.length, 1);
          t.deepEqual(codes, Array(many - 1).fill("exists"));
        },
      },
      {
        title: "of many who free one volume one has freed it",
        async ask(t, s) {
          const volname = await s.alloc();
          const { results, codes } = await atOnce(() => s.free(volname));
          t.deepEqual(codes, []);
          t.is(results.filter((existed) => existed).length, 1);
          t.deepEqual(await s.list(), []);
        },
      },
      {
        title: "of many snapshots of one name one succeeds",
        needs: ["snapshots"],
        async ask(t, s) {
          const volname = await s.alloc();
          const { results, codes } = await atOnce(() => s.snapshot(volname, "s1"));
          t.is(results.length, 1);
          t.deepEqual(codes, Array(many - 1).fill("exists"));
          t.deepEqual(await s.snapshotNames(volname), ["s1"]);
        },
      },
      {
        title: "many clones of one base at once get names of their own",
        needs: ["linkedClones"],
        async ask(t, s) {
          const source = await s.alloc();
          await s.fill(source, "template");
          const base = await s.makeBase(source);
          const { results, codes } = await atOnce((index) => s.clone(base, 101 + (index % 2)), 16);
          t.deepEqual(codes, []);
          t.is(new Set(results).size, 16);
          t.deepEqual(await s.names(), [base, ...results].sort());
          for (const volname of results.slice(0, 3)) await s.shows(t, volname, "template");
        },
      },
      {
        title: "guests that trade volumes with each other at once do not wait for each other for ever",
        needs: ["rename"],
        async ask(t, s) {
          const [one, two] = [await s.alloc({ vmid: 100 }), await s.alloc({ vmid: 101 })];
          await s.fill(one, "one");
          await s.fill(two, "two");
          const [toTwo, toOne] = await Promise.all([s.rename(one, 101), s.rename(two, 100)]);
          await s.shows(t, toTwo, "one");
          await s.shows(t, toOne, "two");
          t.is((await s.names(100)).length, 1);
          t.is((await s.names(101)).length, 1);
        },
      },
      {
        title: "listings are whole while other volumes come and go",
        async ask(t, s) {
          const stays = [
            await s.alloc({ vmid: 200 }),
            await s.alloc({ vmid: 100, name: stay(subject) }),
          ].sort();
          let done = false;
          let listings = 0;
          const churn = Promise.all(
            [100, 101, 102].map(async (vmid) => {
              for (let round = 0; round < 12 || listings < 4; round++) await s.free(await s.alloc({ vmid }));
            }),
          ).finally(() => {
            done = true;
          });
          try {
            while (!done) {
              const names = await s.names();
              t.is(new Set(names).size, names.length, "nothing is listed twice");
              t.deepEqual(
                names.filter((volname) => stays.includes(volname)),
                stays,
              );
              listings++;
              await sleep(1);
            }
          } finally {
            listings = Number.POSITIVE_INFINITY; // also after a listing that failed
            await churn;
          }
          t.deepEqual(await s.names(), stays);
        },
      },
      {
        title: "a volume that is freed while it is asked about is there or absent, nothing else",
        async ask(t, s) {
          for (let round = 0; round < 5; round++) {
            const volname = await s.alloc();
            const questions = Promise.all(
              Array.from({ length: 8 }, () =>
                failure(async () => [await s.info(volname), await s.map(volname)]),
              ),
            );
            await s.free(volname);
            for (const error of await questions) {
              t.true(error === undefined || error.code === "absent", error?.message);
            }
          }
        },
      },
      race(1),
      race(2),
      race(3),
    ];
  },
};

/** The name of a volume that stays while numbered ones come and go beside it. */
function stay(subject: { fileName(stem: string, format: "raw"): string }): string {
  return subject.fileName("vm-100-cloudinit", "raw");
}
