// SPDX-License-Identifier: AGPL-3.0-or-later
import { lstatSync, mkdirSync, readdirSync, readlinkSync, rmdirSync, rmSync, symlinkSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { attachLoop, detachLoop, isDeviceOpen, loopSize, loopsOver, openness, resizeLoop } from "./loops.js";

/** The device directories of all nodes: links below `<dir>/<node>/` lead to loop devices, as those below `/dev` would. */
export class DeviceLinks {
  readonly dir: string;
  readonly #data: string;
  readonly #made: string[] = [];
  /** Directories that stay when their last link goes. */
  readonly #lasting = new Set<string>();

  private constructor(dir: string, data: string) {
    this.dir = resolve(dir);
    this.#data = resolve(data);
  }

  /** Takes a directory; `data` is where the files of the loop devices are. Detaches what a killed simulator left. */
  static async open(dir: string, data: string): Promise<DeviceLinks> {
    const links = new DeviceLinks(dir, data);
    await mkdir(links.dir, { recursive: true });
    await links.#detachAll();
    return links;
  }

  /** Path of a link whose name is `name` below the node's `/dev`. */
  path(node: string, name: string): string {
    return join(this.dir, node, name);
  }

  /** Makes a node's directories, which are there before the first device, and removes links that are left. */
  async addNode(node: string, ...dirs: string[]): Promise<void> {
    for (const name of ["", ...dirs]) {
      const path = join(this.dir, node, name);
      this.#makeDir(path);
      this.#lasting.add(path);
    }
    for (const name of this.listed(node).keys()) this.unlink(this.path(node, name));
  }

  attach = attachLoop;
  resize = resizeLoop;
  isOpen = isDeviceOpen;
  openness = openness;
  size = loopSize;

  /** Says whether it is gone; one that is open goes with its last user. */
  async detach(device: string, file: string): Promise<boolean> {
    return detachLoop(device, file);
  }

  /** At once: the record beside it never differs from what is there. */
  link(path: string, device: string): void {
    this.#makeDir(dirname(path));
    rmSync(path, { force: true });
    symlinkSync(device, path);
  }

  /** At once, like `link`. A directory of its own goes with it. */
  unlink(path: string): void {
    rmSync(path, { force: true });
    const dir = dirname(path);
    if (!this.#lasting.has(dir)) removeDir(dir);
  }

  /** Every link of a node: its name below the node's directory, and where it leads. */
  listed(node: string): Map<string, string> {
    const found = new Map<string, string>();
    const top = join(this.dir, node);
    const walk = (dir: string) => {
      for (const entry of entries(dir)) {
        const path = join(dir, entry);
        const stats = lstatSync(path);
        if (stats.isSymbolicLink()) found.set(relative(top, path), readlinkSync(path));
        else if (stats.isDirectory()) walk(path);
      }
    };
    walk(top);
    return found;
  }

  /** Loop devices over the data files. */
  loops(): { device: string; file: string }[] {
    return loopsOver(this.#data);
  }

  /** Removes links, loop devices and the directories it made; says what somebody still has open. */
  async close(nodes: Iterable<string>): Promise<void> {
    for (const node of nodes) for (const name of this.listed(node).keys()) this.unlink(this.path(node, name));
    await this.#detachAll();
    for (const path of this.#made.reverse()) removeDir(path);
  }

  #makeDir(path: string): void {
    const parent = dirname(path);
    if (parent !== this.dir && parent.startsWith(`${this.dir}/`)) this.#makeDir(parent);
    if (mkdirSync(path, { recursive: true }) !== undefined) this.#made.push(path);
  }

  async #detachAll(): Promise<void> {
    const failures: unknown[] = [];
    for (const { device, file } of this.loops())
      await detachLoop(device, file).catch((error) => failures.push(error));
    if (failures.length > 0) throw failures[0];
  }
}

function entries(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    // Not made yet.
    return [];
  }
}

function removeDir(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // Somebody else put something into it.
  }
}
