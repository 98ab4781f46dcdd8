// SPDX-License-Identifier: AGPL-3.0-or-later
import { existsSync, lstatSync, readdirSync, readlinkSync, rmSync, symlinkSync } from "node:fs";
import { mkdir, rmdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { attachLoop, detachLoop, isDeviceOpen, loopSize, loopsOver, resizeLoop } from "../common/loops.js";

/** The device directories of all nodes: `<dir>/<node>/storpool-byid/<globalId>` are links to loop devices. */
export class DeviceLinks {
  readonly dir: string;
  readonly #data: string;
  readonly #made = new Set<string>();

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

  path(node: string, globalId: string): string {
    return join(this.dir, node, "storpool-byid", globalId);
  }

  /** Makes a node's directory, which is there before the first device. */
  async addNode(node: string): Promise<void> {
    for (const path of [join(this.dir, node), join(this.dir, node, "storpool-byid")]) {
      const made = await mkdir(path, { recursive: true });
      if (made !== undefined) this.#made.add(path);
    }
    for (const name of readdirSync(join(this.dir, node, "storpool-byid"))) {
      const stale = this.path(node, name);
      if (lstatSync(stale).isSymbolicLink()) this.unlink(stale);
    }
  }

  attach = attachLoop;
  resize = resizeLoop;
  isOpen = isDeviceOpen;
  size = loopSize;

  async detach(device: string, file: string): Promise<void> {
    await detachLoop(device, file);
  }

  /** At once: the record beside it never differs from what is there. */
  link(path: string, device: string): void {
    rmSync(path, { force: true });
    symlinkSync(device, path);
  }

  /** At once, like `link`. */
  unlink(path: string): void {
    rmSync(path, { force: true });
  }

  /** Every link of a node: global id and device. None when its directory is not made yet. */
  listed(node: string): Map<string, string> {
    const dir = join(this.dir, node, "storpool-byid");
    if (!existsSync(dir)) return new Map();
    return new Map(readdirSync(dir).map((name) => [name, readlinkSync(join(dir, name))]));
  }

  /** Loop devices over the data files. */
  loops(): { device: string; file: string }[] {
    return loopsOver(this.#data);
  }

  /** Removes links, loop devices and the directories it made; says what somebody still has open. */
  async close(nodes: Iterable<string>): Promise<void> {
    for (const node of nodes) {
      for (const name of this.listed(node).keys()) this.unlink(this.path(node, name));
    }
    await this.#detachAll();
    for (const path of [...this.#made].reverse()) await rmdir(path).catch(() => undefined);
  }

  async #detachAll(): Promise<void> {
    const failures: unknown[] = [];
    for (const { device, file } of this.loops())
      await detachLoop(device, file).catch((error) => failures.push(error));
    if (failures.length > 0) throw failures[0];
  }
}
