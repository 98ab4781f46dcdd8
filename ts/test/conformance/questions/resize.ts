// SPDX-License-Identifier: AGPL-3.0-or-later
import { open } from "node:fs/promises";
import { KiB, MiB, sizeOf } from "../bytes.js";
import type { Topic } from "../question.js";
import { failure } from "../session.js";
import { beyondMeasure, refusals } from "./sizes.js";

export const resize: Topic = {
  name: "resize",
  questions: (subject) => [
    {
      title: "grows by what is asked for, and keeps the data",
      async ask(t, s) {
        const volname = await s.alloc({ size: MiB });
        await s.fill(volname, "data");
        for (const size of [MiB + KiB, 2n * MiB, 4n * MiB + 3n * KiB, 16n * MiB]) {
          await s.resize(volname, size);
          t.is((await s.info(volname)).size, s.rounded(size));
          t.deepEqual(
            (await s.list()).map((entry) => entry.size),
            [s.rounded(size)],
          );
          await s.shows(t, volname, "data", { size, filled: MiB });
        }
      },
    },
    {
      title: "to a size that it has already changes nothing, also where that was rounded up",
      async ask(t, s) {
        const volname = await s.alloc({ size: MiB });
        await s.fill(volname, "data");
        for (const size of [MiB + KiB, 3n * MiB + 5n * KiB]) {
          for (let time = 0; time < 3; time++) {
            await s.resize(volname, size);
            t.is((await s.info(volname)).size, s.rounded(size));
          }
        }
        await s.activate(volname);
        await s.resize(volname, 4n * MiB + KiB, true);
        await s.resize(volname, 4n * MiB + KiB, true);
        t.is(await sizeOf(await s.map(volname)), s.rounded(4n * MiB + KiB));
      },
    },
    {
      title: "adds zeros",
      needs: ["zeroedOnCreate"],
      async ask(t, s) {
        const volname = await s.alloc({ size: MiB });
        await s.fill(volname, "data");
        await s.resize(volname, 3n * MiB);
        await s.readsZero(t, volname, s.rounded(MiB), Number(s.rounded(3n * MiB) - s.rounded(MiB)));
      },
    },
    {
      title: "of an open volume is seen at once by who has it open",
      async ask(t, s) {
        const volname = await s.alloc({ size: MiB });
        await s.activate(volname);
        const path = await s.map(volname);
        const guest = await open(path, "r+");
        try {
          await s.resize(volname, 2n * MiB, true);
          t.is(await sizeOf(path), s.rounded(2n * MiB));
          const { bytesWritten } = await guest.write(Buffer.alloc(4096, 1), 0, 4096, Number(2n * MiB) - 4096);
          t.is(bytesWritten, 4096);
        } finally {
          await guest.close();
        }
        t.is((await s.info(volname)).size, s.rounded(2n * MiB), "writing at the end adds nothing");
      },
    },
    {
      title: "never shrinks",
      async ask(t, s) {
        const volname = await s.alloc({ size: 16n * MiB });
        await s.fill(volname, "data");
        for (const size of [0n, 1n, 4n * MiB, 8n * MiB]) {
          await s.refused(t, "invalid", () => s.resize(volname, size), volname);
        }
        await s.shows(t, volname, "data", { size: 16n * MiB });
      },
    },
    {
      title: "beyond all measure is refused and changes nothing, or is kept to the byte",
      async ask(t, s) {
        for (const size of beyondMeasure) {
          const volname = await s.alloc();
          await s.fill(volname, "data");
          const error = await failure(() => s.resize(volname, size));
          if (error !== undefined) t.true(refusals.includes(error.code), `${size}: ${error.message}`);
          t.is((await s.info(volname)).size, s.rounded(error === undefined ? size : MiB));
          await s.shows(t, volname, "data", { filled: MiB });
          await s.free(volname);
        }
      },
    },
    {
      title: "of a volume that does not exist is absent",
      async ask(t, s) {
        const absent = subject.volname(100, "vm-100-disk-0", "raw");
        await s.refused(t, "absent", () => s.resize(absent, 2n * MiB), absent);
      },
    },
    {
      title: "to a large size takes no longer",
      async ask(t, s) {
        const volname = await s.alloc();
        await s.fill(volname, "data");
        await s.resize(volname, subject.largest);
        await s.shows(t, volname, "data", { size: subject.largest, filled: MiB });
      },
    },
  ],
};
