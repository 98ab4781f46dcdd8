// SPDX-License-Identifier: AGPL-3.0-or-later
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import {
  mkdir,
  mkdtemp,
  readdir,
  rename,
  rm,
  rmdir,
  stat,
  statfs,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Outage, Place, Section, Site, Subject } from "../subject.js";
import { foreign, plant } from "./foreign.js";
import { cannotMount, type FileSystem, type Mounted, mountImage } from "./image.js";

const isRoot = process.getuid?.() === 0;

/** Room on a small storage, in bytes. */
const smallBytes = 16 << 20;

/** One storage of type `blockio` in a directory of its own. */
class DirectoryPlace implements Place {
  readonly section: Section;

  constructor(
    readonly dir: string,
    more: Section,
    private readonly after: () => Promise<void> = async () => {},
  ) {
    this.section = { type: "blockio", path: dir, content: { images: true, rootdir: true }, ...more };
  }

  path(volname: string, snap: string | null): string {
    const [vmid = "", name = ""] = volname.split("/");
    return snap === null
      ? join(this.dir, "images", vmid, name)
      : join(this.dir, "images", vmid, ".snap", name, snap);
  }

  async inventory(): Promise<string[]> {
    return (await below(Buffer.from(this.dir))).map((path) => path.slice(this.dir.length + 1)).sort();
  }

  plant(what: string, vmid: number): Promise<() => Promise<void>> {
    return plant(what, join(this.dir, "images"), vmid);
  }

  async outage(how: string): Promise<Outage> {
    if (how === "nothing is mounted at the directory") {
      return { section: { ...this.section, is_mountpoint: 1 }, end: async () => {} };
    }
    if (how === "nothing is mounted at the named mount point") {
      return { section: { ...this.section, is_mountpoint: join(this.dir, "images") }, end: async () => {} };
    }
    await rename(this.dir, `${this.dir}.away`);
    return {
      section: { ...this.section, "create-base-path": 0 },
      end: () => rename(`${this.dir}.away`, this.dir),
    };
  }

  async occupy(volname: string): Promise<() => Promise<void>> {
    const path = this.path(volname, null);
    const guest = join(path, "..");
    await mkdir(guest, { recursive: true });
    if (volname.includes("-disk-0")) await symlink("/nonexistent/image.raw", path);
    else await mkdir(path);
    return async () => {
      await rm(path, { recursive: true });
      if ((await readdir(guest)).length === 0) await rmdir(guest);
    };
  }

  async orphanSnapshot(volname: string, snap: string): Promise<void> {
    const path = this.path(volname, snap);
    await mkdir(join(path, ".."), { recursive: true });
    await writeFile(path, "of a volume that is gone");
  }

  async hold(path: string): Promise<() => Promise<void>> {
    // What nobody may write to cannot be opened for writing either.
    const access = (await stat(path)).mode & 0o222 ? [] : ["--read-only"];
    const args = ["--find", "--show", ...access, path];
    const device = execFileSync("losetup", args, { encoding: "utf8" }).trim();
    return async () => void execFileSync("losetup", ["--detach", device]);
  }

  async remove(): Promise<void> {
    // A base that a failed test has left is immutable.
    if (isRoot) spawnSync("chattr", ["-R", "-i", this.dir], { stdio: "ignore" });
    await rm(this.dir, { recursive: true, force: true });
    await this.after();
  }
}

/** All paths below a directory; what vanishes meanwhile is left out. Bytes that are no UTF-8 stay apart. */
async function below(dir: Buffer): Promise<string[]> {
  const found: string[] = [];
  const entries = await readdir(dir, { withFileTypes: true, encoding: "buffer" }).catch((error: unknown) => {
    if ((error as { code?: string }).code === "ENOENT") return [];
    throw error;
  });
  for (const entry of entries) {
    const path = Buffer.concat([dir, Buffer.from("/"), entry.name]);
    found.push(path.toString("latin1"));
    if (entry.isDirectory()) found.push(...(await below(path)));
  }
  return found;
}

/** Whether files in the machine's temporary directory can share blocks: a real attempt, and not by our own code. */
function sharesBlocks(): boolean {
  const dir = mkdtempSync(join(tmpdir(), "blockio-reflink-"));
  try {
    writeFileSync(join(dir, "a"), "x".repeat(65536));
    return spawnSync("cp", ["--reflink=always", join(dir, "a"), join(dir, "b")]).status === 0;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

interface Options {
  readonly name: string;
  /** In a file system of its own; without it where the machine keeps its temporary files. */
  readonly fileSystem?: FileSystem & { readonly bytes: number };
  /** The file system of a small storage. */
  readonly small: FileSystem & { readonly bytes: number };
  readonly section?: Section;
  readonly largest?: bigint;
}

/** A subject of type `blockio`. */
export function directorySubject({ name, fileSystem, small, section = {}, largest }: Options): Subject {
  const unavailable = fileSystem === undefined ? undefined : cannotMount(fileSystem);
  const noSmall = cannotMount(small);
  const reflink = fileSystem === undefined ? sharesBlocks() : true;
  return {
    name,
    type: "blockio",
    unavailable,
    capabilities: {
      snapshots: reflink,
      linkedClones: reflink,
      clonesDependOnBase: false,
      rename: true,
      rollbackToAny: true,
      zeroedOnCreate: true,
      atomicNames: true,
      directories: true,
    },
    lacks: {
      slow: "there is no array between a call and its files",
      ...(isRoot ? {} : { hold: "a loop device needs root" }),
      ...(noSmall === undefined ? {} : { small: noSmall }),
    },
    sizeUnit: 1n,
    largest: largest ?? 1n << 40n,
    malformed: {
      "a relative path": { path: "srv/images" },
      "a path that climbs": { path: "/srv/../etc" },
      "no path": { path: null },
      "an unknown preallocation": { preallocation: "some" },
    },
    foreign: Object.keys(foreign),
    outages: [
      "the directory is missing",
      "nothing is mounted at the directory",
      "nothing is mounted at the named mount point",
    ],
    fileName: (stem, format) => `${stem}.${format}`,
    volname: (vmid, stem, format) => `${vmid}/${stem}.${format}`,
    open: () => openSite(fileSystem, small, section),
  };
}

async function openSite(
  fileSystem: Options["fileSystem"],
  small: Options["small"],
  section: Section,
): Promise<Site> {
  const mounted: Mounted | undefined = fileSystem && (await mountImage(fileSystem, fileSystem.bytes));
  const parent = mounted?.dir ?? tmpdir();
  return {
    place: async () => new DirectoryPlace(await mkdtemp(join(parent, "blockio-place-")), section),
    small: async () => {
      const image = await mountImage(small, small.bytes);
      const { bavail, bsize } = await statfs(image.dir);
      const ballast = bavail * bsize - smallBytes;
      if (ballast > 0) execFileSync("fallocate", ["-l", String(ballast), join(image.dir, "ballast")]);
      const dir = join(image.dir, "storage");
      await mkdir(dir);
      return new DirectoryPlace(dir, { ...section, preallocation: "falloc" }, image.unmount);
    },
    close: async () => mounted?.unmount(),
  };
}
