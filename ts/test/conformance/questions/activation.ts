// SPDX-License-Identifier: AGPL-3.0-or-later
import { MiB, sizeOf } from "../bytes.js";
import type { Topic } from "../question.js";

export const activation: Topic = {
  name: "activation",
  questions: (subject) => [
    {
      title: "makes exactly the path usable that PVE has computed before",
      async ask(t, s) {
        const volname = await s.alloc({ size: 2n * MiB });
        await s.activate(volname);
        t.is(await sizeOf(s.place.path(volname, null)), s.rounded(2n * MiB));
        t.is(await s.map(volname), s.place.path(volname, null));
        const base = await s.makeBase(volname);
        t.is(await s.map(base), s.place.path(base, null));
        if (!subject.capabilities.linkedClones) return;
        const clone = await s.clone(base, 101);
        t.is(await s.map(clone), s.place.path(clone, null));
      },
    },
    {
      title: "of a snapshot makes exactly the path usable that PVE has computed before",
      needs: ["snapshots"],
      async ask(t, s) {
        const volname = await s.alloc();
        await s.fill(volname, "then");
        await s.snapshot(volname, "vzdump");
        await s.fill(volname, "now");
        await s.activate(volname);
        await s.activate(volname, "vzdump");
        t.is(await s.map(volname, "vzdump"), s.place.path(volname, "vzdump"));
        t.is(await sizeOf(s.place.path(volname, "vzdump")), s.rounded(MiB));
        await s.deactivate(volname, "vzdump");
        await s.shows(t, volname, "now");
      },
    },
    {
      title: "gives two volumes two paths",
      async ask(t, s) {
        const paths = new Set<string>();
        for (let i = 0; i < 3; i++) paths.add(await s.map(await s.alloc()));
        paths.add(await s.map(await s.alloc({ vmid: 101 })));
        t.is(paths.size, 4);
      },
    },
    {
      title: "takes the hints that PVE gives",
      async ask(t, s) {
        const volname = await s.alloc();
        for (const hints of [{}, { "guest-is-windows": 1, "plugin-may-deactivate-volume": 1 }]) {
          t.is(await s.call("activate_volume", { volname, snap: null, hints }), null);
        }
        t.is(await s.call("activate_volume", { volname }), null);
      },
    },
    {
      title: "of what does not exist is absent",
      async ask(t, s) {
        const absent = subject.volname(100, "vm-100-disk-0", "raw");
        await s.refused(t, "absent", () => s.activate(absent), absent);
        await s.refused(t, "absent", () => s.map(absent), absent);
        const volname = await s.alloc();
        await s.refused(t, "absent", () => s.activate(volname, "s1"), "s1");
        await s.refused(t, "absent", () => s.map(volname, "s1"), "s1");
      },
    },
    {
      title: "on a second node disturbs the first one as little as its end does",
      async ask(t, s) {
        const volname = await s.alloc();
        const other = s.at("node-b");
        await s.activate(volname);
        await s.fill(volname, "first node");
        await other.activate(volname);
        await s.shows(t, volname, "first node");
        await other.deactivate(volname);
        await s.shows(t, volname, "first node");
      },
    },
    {
      title: "is ended whether or not there was one, and data stays",
      async ask(t, s) {
        const volname = await s.alloc();
        await s.fill(volname, "data");
        await s.deactivate(volname);
        await s.activate(volname);
        t.is(await s.call("unmap_volume", { volname, snap: null }), null);
        await s.deactivate(volname);
        await s.activate(volname);
        await s.shows(t, volname, "data");
      },
    },
    {
      title: "a volume in use is not freed, and its data stays",
      hooks: ["hold"],
      async ask(t, s) {
        const volname = await s.alloc();
        await s.fill(volname, "data");
        const release = await s.place.hold?.(await s.map(volname));
        try {
          await s.refused(t, "busy", () => s.free(volname), volname);
          await s.shows(t, volname, "data");
          t.deepEqual(await s.names(), [volname]);
        } finally {
          await release?.();
        }
        t.true(await s.free(volname));
      },
    },
    {
      title: "a base in use is not freed, and its data stays",
      hooks: ["hold"],
      async ask(t, s) {
        const volname = await s.alloc();
        await s.fill(volname, "data");
        const base = await s.makeBase(volname);
        const release = await s.place.hold?.(await s.map(base));
        try {
          await s.refused(t, "busy", () => s.free(base), base);
          await s.shows(t, base, "data");
        } finally {
          await release?.();
        }
        t.true(await s.free(base));
      },
    },
    {
      title: "a volume whose use ends meanwhile is freed",
      hooks: ["hold"],
      async ask(t, s) {
        const volname = await s.alloc();
        const release = await s.place.hold?.(await s.map(volname));
        const freed = s.free(volname);
        await new Promise((resolve) => setTimeout(resolve, 300));
        await release?.();
        t.true(await freed);
      },
    },
  ],
};
