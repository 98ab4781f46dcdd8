// SPDX-License-Identifier: AGPL-3.0-or-later
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { MiB } from "../bytes.js";
import type { Question, Topic } from "../question.js";
import type { Session } from "../session.js";
import { archiveOf, exportTree, importTree, sender } from "../streams.js";

/** Questions that all need the same thing. */
function withDirectories(questions: Question[]): Question[] {
  return questions.map((question) => ({
    ...question,
    needs: ["directories" as const, ...(question.needs ?? [])],
  }));
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
        title: "are no block volumes: no size, growing or block streams",
        async ask(t, s) {
          const volname = await s.alloc({ format: "subvol" });
          await s.refused(t, "unsupported", () => s.alloc({ format: "subvol", size: MiB }));
          await s.refused(t, "unsupported", () => s.resize(volname, MiB), volname);
          const raw = { volname, streamFormat: "raw+size" };
          await s.refused(t, "unsupported", () => s.call("volume_export", raw), volname);
          const target = nameOf(101, "subvol-101-disk-0", "subvol");
          for (const format of ["raw+size", "tar+size"]) {
            const args = { volname: target, size: "1048576", format, allowRename: false };
            await s.refused(t, "unsupported", () => s.call("volume_import", args), target);
          }
          t.deepEqual(await s.snapshots(volname), {});
        },
      },
      {
        title: "have snapshots that keep what was in them, and can be brought back",
        needs: ["snapshots"],
        async ask(t, s) {
          const volname = await s.alloc({ format: "subvol" });
          await populate(s, volname);
          const hostname = join(await s.map(volname), "etc", "hostname");
          await s.snapshot(volname, "s1");
          await writeFile(hostname, "later");
          await writeFile(join(await s.map(volname), "new"), "new");
          await s.snapshot(volname, "s2");
          await s.refused(t, "exists", () => s.snapshot(volname, "s1"), "s1");
          t.deepEqual(Object.keys(await s.snapshots(volname)).sort(), ["s1", "s2"]);
          t.is(await readFile(join(s.place.path(volname, "s1"), "etc", "hostname"), "utf8"), "ct");
          await s.rollback(volname, "s1");
          t.is(await readFile(hostname, "utf8"), "ct");
          t.deepEqual((await readdir(await s.map(volname))).sort(), ["dangling", "etc", "way-out"]);
          await writeFile(hostname, "after");
          await s.rollback(volname, "s2");
          t.is(await readFile(hostname, "utf8"), "later");
          await s.rollback(volname, "s1");
          t.is(await readFile(hostname, "utf8"), "ct", "the snapshot is another one's than the volume");
          await s.deleteSnapshot(volname, "s1");
          await s.deleteSnapshot(volname, "s1");
          t.deepEqual(Object.keys(await s.snapshots(volname)), ["s2"]);
          t.deepEqual(await s.names(), [volname]);
        },
      },
      {
        title: "have linked clones of bases and of snapshots, which are volumes of their own",
        needs: ["snapshots", "linkedClones"],
        async ask(t, s) {
          const volname = await s.alloc({ format: "subvol" });
          await populate(s, volname);
          await s.snapshot(volname, "s1");
          await writeFile(join(await s.map(volname), "etc", "hostname"), "later");
          const ofSnapshot = await s.clone(volname, 101, "s1");
          await s.refused(t, "absent", () => s.clone(volname, 101, "s9"), "s9");
          t.is(ofSnapshot, nameOf(101, "subvol-101-disk-0", "subvol"));
          const template = await s.alloc({ vmid: 102, format: "subvol" });
          await writeFile(join(await s.map(template), "file"), "template");
          const base = await s.makeBase(template);
          const ofBase = await s.clone(base, 103);
          const hostname = join(await s.map(ofSnapshot), "etc", "hostname");
          t.is(await readFile(hostname, "utf8"), "ct");
          await writeFile(hostname, "clone");
          await writeFile(join(await s.map(ofBase), "file"), "clone");
          t.is(await readFile(join(s.place.path(volname, "s1"), "etc", "hostname"), "utf8"), "ct");
          t.is(await readFile(join(await s.map(base), "file"), "utf8"), "template");
          t.true(await s.free(volname));
          t.is(await readFile(hostname, "utf8"), "clone");
        },
      },
      {
        title: "go through streams with all that is in them",
        async ask(t, s) {
          const volname = await s.alloc({ format: "subvol" });
          await populate(s, volname);
          const root = await s.map(volname);
          await writeFile(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0xff, 0x0a, 0x80])]), "bytes");
          const source = (await s.call("volume_export", { volname })) as { path: string; format: string };
          t.is(source.format, "subvol");
          const target = nameOf(101, "subvol-101-disk-0", "subvol");
          const made = await importTree(s, target, (sink) => exportTree(source.path, sink));
          t.is(made, target);
          const copy = await s.map(made);
          t.deepEqual((await readdir(copy, "buffer")).sort(), (await readdir(root, "buffer")).sort());
          t.is(await readFile(join(copy, "etc", "deep", "er", ".hidden"), "utf8"), "x");
          t.is((await stat(copy)).mode, (await stat(root)).mode);
          await s.refused(t, "exists", () => importTree(s, target, (sink) => exportTree(root, sink)), target);
          const other = await importTree(s, target, (sink) => exportTree(root, sink), true);
          t.is(other, nameOf(101, "subvol-101-disk-1", "subvol"));
        },
      },
      {
        title: "are not there when a stream was cut off, abandoned or leads out of them",
        async ask(t, s) {
          const volname = await s.alloc({ format: "subvol" });
          await populate(s, volname);
          const whole = await archiveOf(s, await s.map(volname));
          const before = await s.place.inventory();
          const target = nameOf(101, "subvol-101-disk-0", "subvol");
          for (const length of [8, 9, 520, 1544, whole.length - 10_240]) {
            const cut = whole.subarray(0, length);
            await s.refused(t, "invalid", () => importTree(s, target, sender(cut)), "");
            t.deepEqual(await s.place.inventory(), before, `cut off after ${length} bytes`);
          }
          const tail = Buffer.concat([whole, Buffer.from("more")]);
          await s.refused(t, "invalid", () => importTree(s, target, sender(tail)), "");
          const begun = await s.beginImport(target, 0n, false, "tar+size");
          t.deepEqual(await s.names(101), []);
          await s.abandon(begun.token);
          t.deepEqual(await s.place.inventory(), before);
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
