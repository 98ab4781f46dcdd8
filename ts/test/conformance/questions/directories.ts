// SPDX-License-Identifier: AGPL-3.0-or-later
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { MiB } from "../bytes.js";
import type { Question, Topic } from "../question.js";
import type { Session } from "../session.js";

/** Questions that all need the same thing. */
function withDirectories(questions: Question[]): Question[] {
  return questions.map((question) => ({ ...question, needs: ["directories" as const] }));
}

/** Where a directory is mounted besides its own place; known by its end, as its file system may begin anywhere. */
function mountsOf(dir: string): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" "))
    .filter((fields) => fields[3]?.endsWith(join(basename(dirname(dir)), basename(dir))))
    .map((fields) => fields[4] ?? "");
}

/** Fills a container's directory as an unpacked system does, with a link that leads out of it. */
async function populate(s: Session, volname: string): Promise<string> {
  const root = await s.map(volname);
  const outside = join(s.scratch, "outside");
  await mkdir(outside);
  await writeFile(join(outside, "precious"), "kept");
  await mkdir(join(root, "etc", "deep", "er"), { recursive: true });
  await writeFile(join(root, "etc", "hostname"), "ct");
  await writeFile(join(root, "etc", "deep", "er", ".hidden"), "x");
  await symlink(outside, join(root, "way-out"));
  await symlink("nowhere", join(root, "dangling"));
  return outside;
}

export const directories: Topic = {
  name: "directories",
  questions: ({ volname: nameOf, fileName }) =>
    withDirectories([
      {
        title: "are volumes without a size that can be entered",
        async ask(t, s) {
          const volname = await s.alloc({ format: "subvol" });
          t.is(volname, nameOf(100, "subvol-100-disk-0", "subvol"));
          const root = await s.map(volname);
          t.is(root, s.place.path(volname, null));
          const found = await stat(root);
          t.true(found.isDirectory());
          t.is(found.mode & 0o777, 0o755, "a container's own users must get in");
          t.deepEqual(await readdir(root), []);
          const entry = await s.info(volname);
          t.deepEqual([entry.size, entry.format, entry.vmid], [0n, "subvol", 100]);
          t.deepEqual(await s.list(), [entry]);
        },
      },
      {
        title: "are freed with all that is in them, and nothing outside",
        async ask(t, s) {
          const before = await s.place.inventory();
          const volname = await s.alloc({ format: "subvol" });
          const outside = await populate(s, volname);
          t.true(await s.free(volname));
          t.deepEqual(await s.place.inventory(), before);
          t.is(await readFile(join(outside, "precious"), "utf8"), "kept");
          t.deepEqual(await s.list(), []);
        },
      },
      {
        title: "with something mounted in them are busy, and what is mounted stays as it is",
        hooks: ["hold"],
        async ask(t, s) {
          const volname = await s.alloc({ format: "subvol" });
          const outside = await populate(s, volname);
          const mountpoint = join(await s.map(volname), "etc", "deep");
          execFileSync("mount", ["--bind", outside, mountpoint]);
          try {
            await s.refused(t, "busy", () => s.free(volname), volname);
          } finally {
            // By what is mounted, not by where: the refused call may have moved it.
            for (const where of mountsOf(outside)) execFileSync("umount", [where]);
          }
          t.is(await readFile(join(outside, "precious"), "utf8"), "kept");
          t.is(await readFile(join(await s.map(volname), "etc", "hostname"), "utf8"), "ct");
          t.true(await s.free(volname));
        },
      },
      {
        title: "are handed to another guest with all that is in them",
        async ask(t, s) {
          const volname = await s.alloc({ format: "subvol" });
          await populate(s, volname);
          const renamed = await s.rename(volname, 101);
          t.is(renamed, nameOf(101, "subvol-101-disk-0", "subvol"));
          t.is(await readFile(join(await s.map(renamed), "etc", "hostname"), "utf8"), "ct");
          t.deepEqual(await s.names(), [renamed]);
          const named = await s.rename(renamed, 101, fileName("subvol-101-disk-9", "subvol"));
          t.is(named, nameOf(101, "subvol-101-disk-9", "subvol"));
          t.deepEqual((await readdir(await s.map(named))).sort(), ["dangling", "etc", "way-out"]);
        },
      },
      {
        title: "become bases that keep what is in them, their name and their number",
        async ask(t, s) {
          const volname = await s.alloc({ format: "subvol" });
          await populate(s, volname);
          const base = await s.makeBase(volname);
          t.is(base, nameOf(100, "basevol-100-disk-0", "subvol"));
          t.is(await readFile(join(await s.map(base), "etc", "hostname"), "utf8"), "ct");
          await s.refused(t, ["refused", "unsupported"], () => s.rename(base, 101));
          t.deepEqual(await s.names(), [base]);
          t.is(await s.alloc({ format: "subvol" }), nameOf(100, "subvol-100-disk-1", "subvol"));
        },
      },
      {
        title: "are no block volumes: no size, growing, snapshots, clones or block streams",
        async ask(t, s) {
          const volname = await s.alloc({ format: "subvol" });
          const base = await s.makeBase(await s.alloc({ vmid: 102, format: "subvol" }));
          await s.refused(t, "unsupported", () => s.alloc({ format: "subvol", size: MiB }));
          await s.refused(t, "unsupported", () => s.resize(volname, MiB), volname);
          await s.refused(t, "unsupported", () => s.snapshot(volname, "s1"), volname);
          await s.refused(t, ["unsupported", "absent"], () => s.rollback(volname, "s1"), volname);
          await s.refused(t, "unsupported", () => s.clone(base, 101), base);
          await s.refused(t, ["unsupported", "absent"], () => s.clone(volname, 101, "s1"), volname);
          await s.refused(t, "unsupported", () => s.call("volume_export", { volname }), volname);
          const target = nameOf(101, "subvol-101-disk-0", "subvol");
          const args = { volname: target, size: "1048576", format: "raw+size", allowRename: false };
          await s.refused(t, "unsupported", () => s.call("volume_import", args), target);
          t.deepEqual(await s.snapshots(volname), {});
        },
      },
      {
        title: "do not take the name of one that exists",
        async ask(t, s) {
          const volname = await s.alloc({ format: "subvol" });
          await populate(s, volname);
          const name = fileName("subvol-100-disk-0", "subvol");
          await s.refused(t, "exists", () => s.alloc({ format: "subvol", name }), volname);
          const other = await s.alloc({ vmid: 101, format: "subvol" });
          await s.refused(t, "exists", () => s.rename(other, 100, name), volname);
          t.is((await readdir(await s.map(volname))).length, 3);
        },
      },
      {
        title: "and block volumes of one guest do not get into each other's way",
        async ask(t, s) {
          const block = await s.alloc();
          const directory = await s.alloc({ format: "subvol" });
          await s.fill(block, "data");
          t.deepEqual(await s.names(100), [block, directory].sort());
          t.true(await s.free(directory));
          await s.shows(t, block, "data");
        },
      },
    ]),
};
