// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Question, Topic } from "../question.js";

/** Stems that PVE builds by itself or that admins give, all of guest 100. */
const stems = [
  "vm-100-cloudinit",
  "vm-100-disk-7",
  "vm-100-disk-1023",
  "vm-100-fleece-0",
  "vm-100-state-suspend-2026-08-01",
  `vm-100-state-${"S".repeat(40)}`,
  "vm-100-data_1",
  "vm-100-UPPER-lower",
];

/** What may stand in a request in place of a volume name, and is none of any type. */
function hostile(good: string): string[] {
  return [
    "",
    "/",
    "..",
    "../../etc/passwd",
    "/etc/passwd",
    `/${good}`,
    `../${good}`,
    `./${good}`,
    `${good}/..`,
    `${good}/../../etc/passwd`,
    `${good}/`,
    `${good}\n`,
    `\n${good}`,
    `${good}\0`,
    `${good} `,
    ` ${good}`,
    `${good},x`,
    `${good}=1`,
    `${good}'`,
    `${good}"`,
    `${good};reboot`,
    `${good}$(reboot)`,
    `${good}\`reboot\``,
    `${good}:x`,
    `${good}\\`,
    `${good}%2f`,
    `${good}\u00e4`,
    `${good}\u202e`,
    `-rf ${good}`,
    "32",
    "cloudinit",
    "iso/x.iso",
    "x".repeat(1024),
  ];
}

const withoutExtension: Question = {
  title: "a name without the extension of its format is refused, not changed",
  async ask(t, s) {
    await s.refused(t, "invalid", () => s.alloc({ name: "vm-100-cloudinit" }));
    t.deepEqual(await s.names(), []);
  },
};

export const names: Topic = {
  name: "names",
  questions: (subject) => {
    const takes = (stem: string) => subject.takes?.(stem) ?? true;
    return [
      {
        title: "the lowest free disk number is taken",
        async ask(t, s) {
          const disk = (index: number) => subject.volname(100, `vm-100-disk-${index}`, "raw");
          t.is(await s.alloc(), disk(0));
          t.is(await s.alloc(), disk(1));
          t.is(await s.alloc(), disk(2));
          t.true(await s.free(disk(1)));
          t.is(await s.alloc(), disk(1));
          t.is(await s.alloc(), disk(3));
        },
      },
      {
        title: "each guest has its own numbers",
        async ask(t, s) {
          for (const vmid of [100, 1000, 10_000, 999_999_999]) {
            t.is(await s.alloc({ vmid }), subject.volname(vmid, `vm-${vmid}-disk-0`, "raw"));
          }
        },
      },
      {
        title: "the number of a base is taken",
        async ask(t, s) {
          const base = await s.makeBase(await s.alloc());
          t.is(base, subject.volname(100, "base-100-disk-0", "raw"));
          t.is(await s.alloc(), subject.volname(100, "vm-100-disk-1", "raw"));
        },
      },
      {
        title: "the numbers of linked clones are taken",
        needs: ["linkedClones"],
        async ask(t, s) {
          const base = await s.makeBase(await s.alloc());
          const on = subject.capabilities.clonesDependOnBase ? base : undefined;
          t.is(await s.clone(base, 101), subject.volname(101, "vm-101-disk-0", "raw", on));
          t.is(await s.clone(base, 101), subject.volname(101, "vm-101-disk-1", "raw", on));
          t.is(await s.alloc({ vmid: 101 }), subject.volname(101, "vm-101-disk-2", "raw"));
          t.is(await s.clone(base, 100), subject.volname(100, "vm-100-disk-1", "raw", on));
        },
      },
      {
        title: "names that are not those of disks take no number",
        async ask(t, s) {
          for (const stem of ["vm-100-cloudinit", "vm-100-state-disk-0", "vm-100-fleece-0"].filter(takes)) {
            await s.alloc({ name: subject.fileName(stem, "raw") });
          }
          t.is(await s.alloc(), subject.volname(100, "vm-100-disk-0", "raw"));
        },
      },
      {
        title: "a free name is told, and told again until it is taken",
        async ask(t, s) {
          await s.leavesNothing(t, async () => {
            t.is(await s.freeName(), subject.fileName("vm-100-disk-0", "raw"));
            t.is(await s.freeName(), subject.fileName("vm-100-disk-0", "raw"));
          });
          await s.alloc();
          t.is(await s.freeName(), subject.fileName("vm-100-disk-1", "raw"));
          t.is(await s.freeName(101), subject.fileName("vm-101-disk-0", "raw"));
        },
      },
      {
        title: "an exact name is honoured",
        async ask(t, s) {
          for (const stem of stems.filter(takes)) {
            t.is(await s.alloc({ name: subject.fileName(stem, "raw") }), subject.volname(100, stem, "raw"));
          }
          const longest = `vm-999999999-state-${"s".repeat(40)}`;
          const volname = await s.alloc({ vmid: 999_999_999, name: subject.fileName(longest, "raw") });
          t.is(volname, subject.volname(999_999_999, longest, "raw"));
          t.is((await s.list()).length, stems.filter(takes).length + 1);
        },
      },
      ...(subject.fileName("x", "raw") === "x" ? [] : [withoutExtension]),
      {
        title: "a taken name is never replaced by another",
        async ask(t, s) {
          const name = subject.fileName("vm-100-cloudinit", "raw");
          const volname = await s.alloc({ name, size: 4n << 20n });
          await s.fill(volname, "first");
          await s.refused(t, "exists", () => s.alloc({ name, size: 4n << 20n }), volname);
          await s.refused(t, "exists", () => s.alloc({ name, size: 8n << 20n }), volname);
          await s.refused(t, "exists", () => s.alloc({ name, size: 1n << 20n }), volname);
          await s.shows(t, volname, "first", { size: 4n << 20n });
        },
      },
      {
        title: "a name of another guest is refused",
        async ask(t, s) {
          for (const stem of ["vm-101-disk-0", "vm-10-disk-0", "vm-1000-disk-0", "base-101-disk-0"]) {
            await s.refused(t, "invalid", () => s.alloc({ name: subject.fileName(stem, "raw") }));
          }
        },
      },
      {
        title: "a name of another format is refused",
        needs: ["directories"],
        async ask(t, s) {
          await s.refused(t, "invalid", () =>
            s.alloc({ name: subject.fileName("subvol-100-disk-0", "subvol"), format: "raw" }),
          );
          await s.refused(t, "invalid", () =>
            s.alloc({ name: subject.fileName("vm-100-disk-0", "raw"), format: "subvol" }),
          );
        },
      },
      {
        title: "a name that cannot be had although no volume has it is passed over",
        hooks: ["occupy"],
        async ask(t, s) {
          for (const index of [0, 1]) {
            const volname = subject.volname(100, `vm-100-disk-${index}`, "raw");
            s.undo.add(`obstacle ${volname}`, (await s.place.occupy?.(volname)) ?? (async () => {}));
          }
          t.deepEqual(await s.list(), []);
          t.is(await s.alloc(), subject.volname(100, "vm-100-disk-2", "raw"));
          await s.refused(t, "exists", () => s.alloc({ name: subject.fileName("vm-100-disk-0", "raw") }));
        },
      },
      {
        title: "a long name works throughout, or is refused at once",
        async ask(t, s) {
          let accepted = 0;
          for (const length of [64, 128, 192, 224, 232, 240, 244, 248, 251, 255]) {
            const extension = subject.fileName("x", "raw").length - 1;
            const name = subject.fileName("vm-100-".padEnd(length - extension, "n"), "raw");
            const before = await s.place.inventory();
            let volname: string;
            try {
              volname = await s.alloc({ name });
            } catch (error) {
              t.is((error as { code?: string }).code, "invalid", `name of ${length}: ${error}`);
              t.deepEqual(await s.place.inventory(), before);
              continue;
            }
            accepted++;
            t.true((await s.names(100)).includes(volname), `name of ${length} is listed`);
            if (subject.capabilities.snapshots) {
              await s.snapshot(volname, "s".repeat(40));
              await s.rollback(volname, "s".repeat(40));
              await s.deleteSnapshot(volname, "s".repeat(40));
            }
            await s.resize(volname, 2n << 20n);
            t.true(await s.free(volname), `name of ${length} is freed`);
            t.deepEqual(await s.place.inventory(), before);
          }
          t.true(accepted > 0, "PVE's own names have up to 59 characters");
        },
      },
      {
        title: "hostile volume names are invalid for every verb",
        async ask(t, s) {
          const good = await s.alloc();
          const verbs: Record<string, object> = {
            free_image: {},
            volume_size_info: {},
            volume_resize: { size: "2097152" },
            volume_snapshot: { snap: "s1" },
            volume_snapshot_delete: { snap: "s1" },
            volume_snapshot_rollback: { snap: "s1" },
            volume_rollback_is_possible: { snap: "s1" },
            volume_snapshot_info: {},
            create_base: {},
            clone_image: { vmid: 101 },
            rename_volume: { vmid: 101 },
            activate_volume: {},
            deactivate_volume: {},
            map_volume: {},
            volume_export: {},
            volume_import: { size: "1048576", format: "raw+size", allowRename: false },
          };
          for (const [method, args] of Object.entries(verbs)) {
            for (const volname of hostile(good)) {
              const what = `${method} ${JSON.stringify(volname)}`;
              const result = await s.call(method, { ...args, volname }).then(
                () => "succeeded",
                (error: { code?: string }) => error.code,
              );
              t.is(result, "invalid", what);
            }
          }
          t.deepEqual(await s.names(), [good]);
          t.deepEqual(await s.list(null, hostile(good)), [], "nor does a listing find them");
        },
      },
      {
        title: "hostile names for new volumes are invalid",
        async ask(t, s) {
          const good = subject.fileName("vm-100-disk-0", "raw");
          const volname = await s.alloc();
          const before = await s.place.inventory();
          // None at all asks for a name.
          for (const name of hostile(good).filter((name) => name !== "")) {
            for (const [method, args] of Object.entries({
              alloc_image: { vmid: 100, format: "raw", size: "1048576", name },
              rename_volume: { volname, vmid: 100, name },
            })) {
              const result = await s.call(method, args).then(
                (answer) => `succeeded: ${JSON.stringify(answer)}`,
                (error: { code?: string }) => error.code,
              );
              t.is(result, "invalid", `${method} ${JSON.stringify(name)}`);
            }
          }
          t.deepEqual(await s.place.inventory(), before);
        },
      },
    ];
  },
};
