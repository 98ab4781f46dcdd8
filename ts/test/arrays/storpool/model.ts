// SPDX-License-Identifier: AGPL-3.0-or-later
import type { VolumeRef } from "../../../src/arrays/contract.js";
import type { StorpoolDriver } from "../../../src/arrays/storpool/driver.js";
import { codeOf } from "../../../src/common/errors.js";
import { gidOf, type Nodes, refOf } from "./nodes.js";

/** What the driver has reported as made. */
export interface Known {
  ref: VolumeRef;
  vmid: number;
  size: bigint;
  readonly base: boolean;
  attached: boolean;
  /** Sizes at the time of the snapshots. */
  readonly snaps: Map<string, bigint>;
}

const mib = 1n << 20n;
/** How a verb may fail when no answer comes. Anything else is a claim about the object, and wrong. */
const unknown = ["unreachable", "timeout"];

/** Asks a driver for one random verb after the other and keeps book of what it says. */
export class Model {
  readonly known: Known[] = [];
  /** Verbs that failed for want of an answer, then were repeated. */
  failures = 0;
  #next = 0;
  readonly #driver: StorpoolDriver;

  constructor(
    private readonly nodes: Nodes,
    private readonly random: () => number,
    private readonly faults: Parameters<Nodes["sim"]["faults"]["plan"]>[0],
  ) {
    this.#driver = nodes.drivers["node-a"];
  }

  /** One verb, whichever is possible. */
  async step(): Promise<void> {
    const disk = this.#pick(({ base }) => !base);
    const verbs = [
      () => this.#create(),
      ...(disk
        ? [
            () => this.#snapshot(disk),
            () => this.#snapshot(disk),
            () => this.#resize(disk),
            () => this.#attach(disk),
            () => this.#detach(disk),
            ...(disk.snaps.size > 0
              ? [
                  () => this.#rollback(disk),
                  () => this.#dropSnapshot(disk),
                  () => this.#clone(disk, [...disk.snaps.keys()][0]),
                ]
              : [() => this.#rename(disk), () => this.#makeBase(disk)]),
          ]
        : []),
      ...this.known.filter(({ base }) => base).map((base) => () => this.#clone(base, undefined)),
      ...(this.known.length > 6 ? [() => this.delete(this.#at(this.known))] : []),
    ];
    await this.#at(verbs)();
  }

  async delete(one: Known): Promise<void> {
    const { ref } = one;
    await this.#surely(() => this.#driver.deleteVolume(this.nodes.ctx, ref));
    this.known.splice(this.known.indexOf(one), 1);
  }

  async #create(): Promise<void> {
    const { vmid, asked } = this.#fresh();
    const make = () => this.#driver.createVolume(this.nodes.ctx, asked, mib);
    this.#add(await this.#once(asked, make), vmid, mib);
  }

  async #clone(from: Known, snap: string | undefined): Promise<void> {
    const { vmid, asked } = this.#fresh();
    const make = () => this.#driver.cloneVolume(this.nodes.ctx, from.ref, snap, asked);
    this.#add(await this.#once(asked, make), vmid, from.snaps.get(snap ?? "") ?? from.size);
  }

  async #snapshot(disk: Known): Promise<void> {
    const { ref, snaps } = disk;
    const snap = `s${++this.#next}`;
    const make = () => this.#driver.createSnapshot(this.nodes.ctx, ref, snap);
    await this.#surely(make, () => this.#driver.deleteSnapshot(this.nodes.ctx, ref, snap));
    snaps.set(snap, disk.size);
  }

  async #dropSnapshot({ ref, snaps }: Known): Promise<void> {
    const snap = this.#at([...snaps.keys()]);
    await this.#surely(() => this.#driver.deleteSnapshot(this.nodes.ctx, ref, snap));
    snaps.delete(snap);
  }

  async #rollback(disk: Known): Promise<void> {
    const [snap, size] = this.#at([...disk.snaps]);
    await this.#surely(() => this.#driver.rollback(this.nodes.ctx, disk.ref, snap));
    Object.assign(disk, { size, attached: false });
  }

  async #resize(disk: Known): Promise<void> {
    const size = disk.size + mib;
    await this.#surely(() => this.#driver.resizeVolume(this.nodes.ctx, disk.ref, size));
    disk.size = size;
  }

  async #attach(disk: Known): Promise<void> {
    await this.#surely(() => this.nodes.activate("node-a", disk.ref));
    disk.attached = true;
  }

  async #detach(disk: Known): Promise<void> {
    await this.#surely(() => this.nodes.deactivate("node-a", disk.ref));
    disk.attached = false;
  }

  async #rename(disk: Known): Promise<void> {
    const { vmid, asked } = this.#fresh();
    const { ctx } = this.nodes;
    let tried = false;
    const rename = async () => {
      // What has been renamed is absent under its old name, also when nobody heard of it.
      const there = tried && (await this.#driver.listVolumes(ctx)).find(({ ref }) => sameDisk(ref, asked));
      tried = true;
      return there ? there.ref : this.#driver.renameVolume(ctx, disk.ref, asked);
    };
    const ref = await this.#surely(rename);
    if (gidOf(ref) !== gidOf(disk.ref)) throw new Error(`renamed ${disk.ref.name}, got ${ref.name}`);
    Object.assign(disk, { vmid, ref });
  }

  async #makeBase(disk: Known): Promise<void> {
    const to = refOf(disk.vmid, disk.ref.name.replace(/^vm-(.*)-sp-.*$/, "base-$1"));
    const ref = await this.#surely(() => this.#driver.makeBase(this.nodes.ctx, disk.ref, to));
    this.known.splice(this.known.indexOf(disk), 1);
    this.known.push({ ref, vmid: disk.vmid, size: disk.size, base: true, attached: false, snaps: new Map() });
  }

  /** A name that nobody has. */
  #fresh(): { vmid: number; asked: VolumeRef } {
    const vmid = 100 + Math.floor(this.random() * 3);
    return { vmid, asked: refOf(vmid, `vm-${vmid}-disk-${this.#next++}`) };
  }

  #add(ref: VolumeRef, vmid: number, size: bigint): void {
    this.known.push({ ref, vmid, size, base: false, attached: false, snaps: new Map() });
  }

  /** Makes a volume; what a failed attempt may have made is taken back under the name that was asked for, as PVE does. */
  #once(asked: VolumeRef, make: () => Promise<VolumeRef>): Promise<VolumeRef> {
    return this.#surely(make, () => this.#driver.deleteVolume(this.nodes.ctx, asked));
  }

  /** A verb that stays unanswered must succeed when the array answers again, after `undo` where the contract asks for that. */
  async #surely<T>(verb: () => Promise<T>, undo?: () => Promise<unknown>): Promise<T> {
    try {
      return await verb();
    } catch (error) {
      if (!unknown.includes(codeOf(error))) throw error;
      this.failures++;
      this.nodes.sim.faults.plan({});
      try {
        await undo?.();
        return await verb();
      } finally {
        this.nodes.sim.faults.plan(this.faults);
      }
    }
  }

  #pick(is: (one: Known) => boolean): Known | undefined {
    const some = this.known.filter(is);
    return some.length === 0 ? undefined : this.#at(some);
  }

  #at<T>(list: readonly T[]): T {
    const found = list[Math.floor(this.random() * list.length)];
    if (found === undefined) throw new Error("an empty list");
    return found;
  }
}

/** Whether a whole name is what was asked for by a short one. */
function sameDisk(whole: VolumeRef, asked: VolumeRef): boolean {
  return whole.name.replace(/-sp-.*$/, "") === asked.name;
}
