// SPDX-License-Identifier: AGPL-3.0-or-later
import { MiB } from "../bytes.js";
import type { Question, Topic } from "../question.js";
import { failure, type Session } from "../session.js";

/** Every question about, or change of, a volume that must not be guessed when the array is away. */
function verbs(s: Session, volname: string): Record<string, object> {
  const { capabilities } = s.subject;
  const block = {
    status: {},
    get_identity: {},
    activate_storage: {},
    list_images: {},
    "list_images ": { vmid: 100 },
    find_free_diskname: { vmid: 100, format: "raw" },
    alloc_image: { vmid: 100, format: "raw", name: null, size: "1048576" },
    free_image: { volname },
    volume_size_info: { volname },
    volume_resize: { volname, size: `${8n * MiB}` },
    create_base: { volname },
    map_volume: { volname },
    activate_volume: { volname },
    volume_export: { volname },
    volume_import: {
      volname: s.subject.volname(100, "vm-100-disk-5", "raw"),
      size: "1048576",
      format: "raw+size",
      allowRename: true,
    },
  };
  const snapshots = {
    volume_snapshot: { volname, snap: "s2" },
    volume_snapshot_delete: { volname, snap: "s1" },
    volume_snapshot_rollback: { volname, snap: "s1" },
    volume_rollback_is_possible: { volname, snap: "s1" },
    volume_snapshot_info: { volname },
    clone_image: { volname, vmid: 101, snap: "s1" },
  };
  return {
    ...block,
    ...(capabilities.rename ? { rename_volume: { volname, vmid: 101 } } : {}),
    ...(capabilities.snapshots ? snapshots : {}),
  };
}

/** Those of {@link verbs} that change nothing. */
const reading = [
  "status",
  "get_identity",
  "activate_storage",
  "list_images",
  "find_free_diskname",
  "volume_size_info",
  "volume_rollback_is_possible",
  "volume_snapshot_info",
];

export const errors: Topic = {
  name: "errors",
  questions: (subject) => [
    {
      title: "a method that does not exist is unsupported, and inherits nothing",
      async ask(t, s) {
        for (const method of ["", "alloc", "ALLOC_IMAGE", "constructor", "toString", "__proto__"]) {
          await s.refused(t, "unsupported", () => s.call(method));
        }
      },
    },
    {
      title: "arguments that are missing or of the wrong kind are invalid",
      async ask(t, s) {
        const volname = await s.alloc();
        const wrong: [string, object][] = [
          ["alloc_image", {}],
          ["alloc_image", { vmid: 100, format: "raw" }],
          ["alloc_image", { vmid: 99, format: "raw", size: "1" }],
          ["alloc_image", { vmid: 1_000_000_000, format: "raw", size: "1" }],
          ["alloc_image", { vmid: -100, format: "raw", size: "1" }],
          ["alloc_image", { vmid: 100.5, format: "raw", size: "1" }],
          ["alloc_image", { vmid: "one", format: "raw", size: "1" }],
          ["alloc_image", { vmid: 100, format: "raw", size: "1", name: 7 }],
          ["alloc_image", { vmid: 100, format: "raw", size: "1", name: ["vm-100-disk-0"] }],
          ["free_image", {}],
          ["free_image", { volname: null }],
          ["free_image", { volname: 7 }],
          ["free_image", { volname: [volname] }],
          ["list_images", { vmid: "all" }],
          ["list_images", { vollist: volname }],
          ["list_images", { vollist: [7] }],
          ["volume_snapshot", { volname }],
          ["volume_snapshot", { volname, snap: null }],
          ["clone_image", { volname }],
          ["rename_volume", { volname }],
          ["find_free_diskname", { vmid: 100 }],
          ["volume_import", { volname }],
          ["volume_import_commit", {}],
        ];
        for (const [method, args] of wrong) {
          const error = await failure(() => s.call(method, args));
          t.is(error?.code, "invalid", `${method} ${JSON.stringify(args)}`);
          t.true(error?.message.startsWith(method), error?.message);
        }
        t.deepEqual(await s.names(), [volname]);
      },
    },
    {
      title: "a section that is not ours is invalid",
      async ask(t, s) {
        for (const type of ["dir", "no-such-type", "", "__proto__", null, 7]) {
          await s.refused(t, "invalid", () =>
            s.call("list_images", {}, { section: { ...s.place.section, type } }),
          );
        }
        await s.refused(t, "invalid", () => s.call("list_images", {}, { section: {} }));
      },
    },
    {
      title: "what does not exist is absent, for every verb, and stays so",
      async ask(t, s) {
        const absent = subject.volname(100, "vm-100-disk-7", "raw");
        const without = ["volume_import", "alloc_image", "free_image", "volume_snapshot_delete"];
        for (const [verb, args] of Object.entries(verbs(s, absent))) {
          const method = verb.trim();
          if (!("volname" in args) || without.includes(method)) continue;
          if (method === "clone_image" && !subject.capabilities.linkedClones) continue;
          await s.refused(t, "absent", () => s.call(method, args), absent);
        }
        t.deepEqual(await s.list(), []);
      },
    },
    ...subject.outages.map(
      (how): Question => ({
        title: `while ${how} nothing is absent, everything is unreachable, and afterwards all is there`,
        async ask(t, s) {
          const volname = await s.alloc();
          await s.fill(volname, "data");
          if (subject.capabilities.snapshots) await s.snapshot(volname, "s1");
          const before = await s.place.inventory();
          const outage = await s.place.outage(how);
          const connection = s.call("check_connection", {}, { section: outage.section });
          const answers: Record<string, string> = {};
          const expected: Record<string, string> = {};
          try {
            // PVE takes "no" and an error for the same.
            answers["check_connection"] = await connection.then(
              (online) => (online === false ? "unreachable" : "online"),
              (error: { code?: string }) => error.code ?? "",
            );
            expected["check_connection"] = subject.goOn?.includes("check_connection")
              ? "online"
              : "unreachable";
            const put = async ([verb, args]: [string, object]) => {
              const local = subject.goOn?.includes(verb.trim()) ?? false;
              expected[verb] = local ? "answered" : "unreachable";
              answers[verb] = await s.call(verb.trim(), args, { section: outage.section }).then(
                (result) => (local ? "answered" : `answered ${JSON.stringify(result)}`),
                (error: { code?: string }) => error.code ?? "",
              );
            };
            const asked = Object.entries(verbs(s, volname));
            // Each takes as long as the driver tries; those that change something wait for each other's locks.
            const questions = asked.filter(([verb]) => reading.includes(verb.trim()));
            await Promise.all(questions.map(put));
            for (const one of asked) if (!questions.includes(one)) await put(one);
          } finally {
            await outage.end();
          }
          t.deepEqual(answers, expected);
          // As PVE does first of all: a silence of a moment ago is known until then.
          t.true(await s.call("check_connection", {}));
          t.deepEqual(await s.place.inventory(), before);
          t.deepEqual(await s.names(), [volname]);
          await s.shows(t, volname, "data");
        },
      }),
    ),
    ...subject.outages.map(
      (how): Question => ({
        title: `while ${how} a volume that is not active here can be deactivated, or it is unreachable`,
        async ask(t, s) {
          const volname = await s.alloc();
          const outage = await s.place.outage(how);
          try {
            const error = await failure(() =>
              s.call("deactivate_volume", { volname }, { section: outage.section }),
            );
            t.true(error === undefined || error.code === "unreachable", error?.message);
          } finally {
            await outage.end();
          }
          t.deepEqual(await s.names(), [volname]);
        },
      }),
    ),
  ],
};
