// SPDX-License-Identifier: AGPL-3.0-or-later
import { KiB, MiB, readBytes } from "../bytes.js";
import type { Topic } from "../question.js";
import type { Session } from "../session.js";
import { exported } from "../streams.js";

/** The path that the service gives an export. */
async function sourceOf(s: Session, volname: string, snap: string | null = null): Promise<string> {
  const answer = (await s.call("volume_export", { volname, snap })) as { path: string; format: string };
  if (answer.format !== "raw") throw new Error(`format ${answer.format}`);
  return answer.path;
}

export const exports: Topic = {
  name: "export",
  questions: (subject) => [
    {
      title: "is the size and then exactly the volume's bytes",
      async ask(t, s) {
        for (const size of [4n * MiB, 528n * KiB, 3n * MiB + 512n]) {
          const volname = await s.alloc({ size });
          await s.fill(volname, "data");
          const stream = await exported(s, await sourceOf(s, volname));
          const length = s.rounded(size);
          t.is(stream.readBigUInt64LE(0), length);
          t.is(BigInt(stream.length), 8n + length);
          t.true(stream.subarray(8).equals(await readBytes(await s.map(volname), 0n, Number(length))));
        }
      },
    },
    {
      title: "of an empty volume is as long as any",
      needs: ["zeroedOnCreate"],
      async ask(t, s) {
        const stream = await exported(s, await sourceOf(s, await s.alloc({ size: 4n * MiB })));
        t.is(BigInt(stream.length), 8n + s.rounded(4n * MiB));
        t.true(stream.subarray(8).every((byte) => byte === 0));
      },
    },
    {
      title: "of a snapshot is of its time",
      needs: ["snapshots"],
      async ask(t, s) {
        const volname = await s.alloc({ size: MiB });
        await s.fill(volname, "then");
        const then = await exported(s, await sourceOf(s, volname));
        await s.snapshot(volname, "__migration__");
        await s.resize(volname, 2n * MiB);
        await s.fill(volname, "now");
        t.true((await exported(s, await sourceOf(s, volname, "__migration__"))).equals(then));
        t.false((await exported(s, await sourceOf(s, volname))).equals(then));
      },
    },
    {
      title: "of a base is that of the volume it was made of",
      async ask(t, s) {
        const volname = await s.alloc();
        await s.fill(volname, "template");
        const before = await exported(s, await sourceOf(s, volname));
        const base = await s.makeBase(volname);
        t.true((await exported(s, await sourceOf(s, base))).equals(before));
      },
    },
    {
      title: "of what does not exist is absent",
      async ask(t, s) {
        const absent = subject.volname(100, "vm-100-disk-0", "raw");
        await s.refused(t, "absent", () => s.call("volume_export", { volname: absent, snap: null }), absent);
        const volname = await s.alloc();
        await s.refused(t, "absent", () => s.call("volume_export", { volname, snap: "s1" }), "s1");
      },
    },
  ],
};
