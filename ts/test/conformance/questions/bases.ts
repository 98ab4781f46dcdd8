// SPDX-License-Identifier: AGPL-3.0-or-later
import { stat } from "node:fs/promises";
import { isReadOnly, MiB, readBytes, sizeOf } from "../bytes.js";
import type { Topic } from "../question.js";

export const bases: Topic = {
  name: "bases",
  questions: (subject) => [
    {
      title: "have the base's name, the data and the size, and the old name is gone",
      async ask(t, s) {
        const volname = await s.alloc({ size: 2n * MiB });
        await s.fill(volname, "template");
        const base = await s.makeBase(volname);
        t.is(base, subject.volname(100, "base-100-disk-0", "raw"));
        t.deepEqual(await s.names(), [base]);
        await s.shows(t, base, "template", { size: 2n * MiB });
        await s.refused(t, "absent", () => s.info(volname), volname);
      },
    },
    {
      title: "are made of active volumes too",
      async ask(t, s) {
        const volname = await s.alloc();
        await s.fill(volname, "template");
        await s.activate(volname);
        const base = await s.makeBase(volname);
        await s.activate(base);
        await s.shows(t, base, "template");
      },
    },
    {
      title: "are immutable: no growing, no snapshot, no new name",
      async ask(t, s) {
        const volname = await s.alloc();
        await s.fill(volname, "template");
        const base = await s.makeBase(volname);
        await s.refused(t, "refused", () => s.resize(base, 8n * MiB), base);
        await s.refused(t, ["refused", "unsupported"], () => s.snapshot(base, "s1"), base);
        await s.refused(t, ["refused", "unsupported"], () => s.rename(base, 101));
        const name = subject.fileName("base-101-disk-5", "raw");
        await s.refused(t, ["refused", "unsupported"], () => s.rename(base, 101, name));
        await s.refused(t, "refused", () => s.makeBase(base), base);
        t.deepEqual(await s.names(), [base]);
        await s.shows(t, base, "template", { size: MiB });
      },
    },
    {
      title: "are not made of a volume with snapshots",
      needs: ["snapshots"],
      async ask(t, s) {
        const volname = await s.alloc();
        await s.snapshot(volname, "s1");
        await s.refused(t, "refused", () => s.makeBase(volname), "s1");
        t.deepEqual(await s.names(), [volname]);
      },
    },
    {
      title: "do not replace another base",
      async ask(t, s) {
        const first = await s.alloc();
        await s.fill(first, "first");
        const base = await s.makeBase(first);
        const second = await s.alloc({ name: subject.fileName("vm-100-disk-0", "raw") });
        await s.fill(second, "second");
        await s.refused(t, "exists", () => s.makeBase(second), base);
        await s.shows(t, base, "first");
        await s.shows(t, second, "second");
      },
    },
    {
      title: "of a volume that does not exist are absent",
      async ask(t, s) {
        const absent = subject.volname(100, "vm-100-disk-0", "raw");
        await s.refused(t, "absent", () => s.makeBase(absent), absent);
      },
    },
    {
      title: "can be freed, and their number is free again",
      async ask(t, s) {
        await s.leavesNothing(t, async () => {
          t.true(await s.free(await s.makeBase(await s.alloc())));
        });
        t.is(await s.alloc(), subject.volname(100, "vm-100-disk-0", "raw"));
      },
    },
    {
      title: "cannot be written to by a slip",
      hooks: ["readOnlyBase"],
      async ask(t, s) {
        const base = await s.makeBase(await s.alloc());
        const path = await s.map(base);
        const found = await stat(path);
        if (found.isBlockDevice()) t.true(await isReadOnly(path), "the device takes no writes");
        else t.is(found.mode & 0o222, 0, "nobody has the permission");
        t.is((await readBytes(path, 0n, 1)).length, 1);
        t.is(await sizeOf(path), s.rounded(MiB));
      },
    },
  ],
};
