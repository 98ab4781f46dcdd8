// SPDX-License-Identifier: AGPL-3.0-or-later
import type { FaultPlan } from "../../../sim/joviandss/index.js";
import type { VolumeRef } from "../../../src/arrays/contract.js";
import { codeOf } from "../../../src/common/errors.js";
import { mib, type NodeName, type Nodes, refOf } from "./nodes.js";

/** What the driver has reported as made. */
export interface Known {
  ref: VolumeRef;
  size: bigint;
  readonly base: boolean;
  /** The volume that it depends on. */
  readonly parent: Known | undefined;
  /** Whether a snapshot was made on the parent for it alone. */
  readonly intermediate: boolean;
  readonly on: Set<NodeName>;
  /** Oldest first. */
  readonly snaps: { readonly name: string; readonly size: bigint; readonly on: Set<NodeName> }[];
}

const nodes = ["a", "b"] as const;

/** How a verb may fail when the array breaks. Anything else is a claim about the object, and wrong. */
function isUnknown(error: unknown): boolean {
  const code = codeOf(error);
  return code === "unreachable" || code === "timeout" || /CfgParserError/.test(String(error));
}

/** Asks for one random verb after the other, on two nodes, and keeps book of what is said. */
export class Model {
  readonly known: Known[] = [];
  /** Verbs that failed for want of an answer, then were repeated. */
  failures = 0;
  #next = 0;

  constructor(
    private readonly nodes: Nodes,
    private readonly random: () => number,
    private readonly faults: FaultPlan,
  ) {}

  /** One verb, whichever is possible. */
  async step(): Promise<void> {
    const disk = this.#pick(({ base }) => !base);
    const any = this.#pick(() => true);
    const verbs = [() => this.#create()];
    if (any)
      verbs.push(
        () => this.#attach(any),
        () => this.#detach(any),
      );
    if (disk) {
      verbs.push(
        () => this.#snapshot(disk),
        () => this.#snapshot(disk),
        () => this.#resize(disk),
        () => this.#rollback(disk),
        () => this.#readSnapshot(disk),
        () => this.#stopReading(disk),
        () => this.#dropSnapshot(disk),
        () => this.#clone(disk),
        () => this.#rename(disk),
        () => this.#makeBase(disk),
      );
    }
    for (const base of this.known.filter((one) => one.base)) verbs.push(() => this.#clone(base));
    if (this.known.length > 5 && any) verbs.push(() => this.delete(any));
    await this.#at(verbs)();
  }

  /** A volume that others depend on is refused; one that another node has too. */
  async delete(one: Known): Promise<void> {
    const node = this.#nodeOf(one);
    const storage = this.nodes.at(node);
    const free = async () => {
      await storage.detachWhole(this.nodes.ctx, one.ref);
      return storage.driver.deleteVolume(this.nodes.ctx, one.ref);
    };
    const elsewhere = this.#others(one, node) || this.#readers(one, node);
    const needed = this.known.some(({ parent }) => parent === one);
    // Guests of one target share their sessions.
    if (elsewhere || needed) {
      await this.#refused(free, "busy");
      one.on.delete(node);
      for (const snap of one.snaps) snap.on.delete(node);
      return;
    }
    await this.#surely(free);
    this.known.splice(this.known.indexOf(one), 1);
  }

  async #create(): Promise<void> {
    const asked = this.#name();
    const size = BigInt(1 + Math.floor(this.random() * 4)) * mib;
    const { driver } = this.nodes.at(this.#at(nodes));
    const { ctx } = this.nodes;
    const ref = await this.#surely(
      () => driver.createVolume(ctx, asked, size),
      () => driver.deleteVolume(ctx, asked),
    );
    this.known.push({
      ref,
      size,
      base: false,
      parent: undefined,
      intermediate: false,
      on: new Set(),
      snaps: [],
    });
  }

  async #attach(one: Known): Promise<void> {
    const node = this.#at(nodes);
    await this.#surely(() => this.nodes.at(node).attach(this.nodes.ctx, one.ref, undefined));
    one.on.add(node);
  }

  async #detach(one: Known): Promise<void> {
    const node = this.#at(nodes);
    await this.#surely(() => this.nodes.at(node).detach(this.nodes.ctx, one.ref, undefined));
    one.on.delete(node);
  }

  async #snapshot(one: Known): Promise<void> {
    const name = `s${this.#next++}`;
    const { driver } = this.nodes.at(this.#at(nodes));
    const { ctx } = this.nodes;
    await this.#surely(
      () => driver.createSnapshot(ctx, one.ref, name),
      () => driver.deleteSnapshot(ctx, one.ref, name),
    );
    one.snaps.push({ name, size: one.size, on: new Set() });
  }

  async #readSnapshot(one: Known): Promise<void> {
    if (one.snaps.length === 0) return;
    const snap = this.#at(one.snaps);
    const node = this.#at(nodes);
    await this.#surely(() => this.nodes.at(node).attach(this.nodes.ctx, one.ref, snap.name));
    snap.on.add(node);
  }

  async #stopReading(one: Known): Promise<void> {
    for (const snap of one.snaps) {
      for (const node of snap.on) {
        await this.#surely(() => this.nodes.at(node).detach(this.nodes.ctx, one.ref, snap.name));
        snap.on.delete(node);
      }
    }
  }

  async #dropSnapshot(one: Known): Promise<void> {
    if (one.snaps.length === 0) return;
    const snap = this.#at(one.snaps);
    const node = this.#at(nodes);
    const storage = this.nodes.at(node);
    const drop = async () => {
      await storage.detach(this.nodes.ctx, one.ref, snap.name);
      await storage.driver.deleteSnapshot(this.nodes.ctx, one.ref, snap.name);
    };
    const kept = this.#clones(one, snap.name).length > 0 || [...snap.on].some((other) => other !== node);
    if (kept) {
      await this.#refused(drop, "busy");
      snap.on.delete(node);
      return;
    }
    await this.#surely(drop);
    one.snaps.splice(one.snaps.indexOf(snap), 1);
  }

  async #rollback(one: Known): Promise<void> {
    const snap = this.#pick2(one.snaps);
    if (!snap) return;
    const node = this.#nodeOf(one);
    const storage = this.nodes.at(node);
    const roll = async () => {
      await storage.detach(this.nodes.ctx, one.ref, undefined);
      await storage.driver.rollback(this.nodes.ctx, one.ref, snap.name);
    };
    const newest = one.snaps.at(-1) === snap;
    if (this.#others(one, node)) await this.#refused(roll, "busy");
    else if (!newest) await this.#refused(roll, "refused");
    else {
      await this.#surely(roll);
      one.size = snap.size;
    }
    one.on.delete(node);
  }

  async #resize(one: Known): Promise<void> {
    const size = one.size + mib;
    const { driver } = this.nodes.at(this.#at(nodes));
    await this.#surely(() => driver.resizeVolume(this.nodes.ctx, one.ref, size));
    one.size = size;
  }

  async #clone(one: Known): Promise<void> {
    const snap = one.base ? undefined : this.#pick2(one.snaps);
    if (!one.base && !snap) return;
    const target = this.#name();
    const { driver } = this.nodes.at(this.#at(nodes));
    const { ctx } = this.nodes;
    const ref = await this.#surely(
      () => driver.cloneVolume(ctx, one.ref, snap?.name, target),
      () => driver.deleteVolume(ctx, target),
    );
    this.known.push({
      ref,
      size: snap?.size ?? one.size,
      base: false,
      parent: one,
      intermediate: snap === undefined,
      on: new Set(),
      snaps: [],
    });
    if (snap) this.#madeOf.set(ref.name, snap.name);
  }

  async #rename(one: Known): Promise<void> {
    const node = this.#nodeOf(one);
    const to = this.#name();
    const storage = this.nodes.at(node);
    const rename = async () => {
      await storage.detach(this.nodes.ctx, one.ref, undefined);
      return storage.driver.renameVolume(this.nodes.ctx, one.ref, to);
    };
    if (one.snaps.length > 0) await this.#refused(rename, "refused");
    else if (this.#others(one, node)) await this.#refused(rename, "busy");
    else {
      const before = this.#madeOf.get(one.ref.name);
      one.ref = await this.#moved(rename, to);
      if (before !== undefined) this.#madeOf.set(one.ref.name, before);
    }
    one.on.delete(node);
  }

  async #makeBase(one: Known): Promise<void> {
    if (one.snaps.length > 0) return;
    const node = this.#nodeOf(one);
    const to = refOf(one.ref.name.replace(/^vm-/, "base-"));
    const storage = this.nodes.at(node);
    const make = async () => {
      await storage.detach(this.nodes.ctx, one.ref, undefined);
      return storage.driver.makeBase(this.nodes.ctx, one.ref, to);
    };
    if (this.#others(one, node)) {
      await this.#refused(make, "busy");
      one.on.delete(node);
      return;
    }
    const before = this.#madeOf.get(one.ref.name);
    const ref = await this.#surely(make);
    if (before !== undefined) this.#madeOf.set(ref.name, before);
    const base = { ...one, ref, base: true, on: new Set<NodeName>() };
    this.known[this.known.indexOf(one)] = base;
  }

  /** Snapshots that clones were made of, by the clone's name. */
  readonly #madeOf = new Map<string, string>();

  #clones(one: Known, snapshot: string): Known[] {
    return this.known.filter(({ parent, ref }) => parent === one && this.#madeOf.get(ref.name) === snapshot);
  }

  /** Whether a node other than this one has the volume. */
  #others(one: Known, node: NodeName): boolean {
    return [...one.on].some((other) => other !== node);
  }

  #readers(one: Known, node: NodeName): boolean {
    return one.snaps.some(({ on }) => [...on].some((other) => other !== node));
  }

  /** The node that has it, as PVE would ask there. */
  #nodeOf(one: Known): NodeName {
    return [...one.on][0] ?? this.#at(nodes);
  }

  /** A guest of its own for each volume: guests' targets are shared, which is another test's business. */
  #name(): VolumeRef {
    const number = this.#next++;
    return refOf(`vm-${100 + number}-disk-0`);
  }

  /** A verb that stays unanswered must succeed when the array answers again, after `undo` where the contract asks for that. */
  async #surely<T>(verb: () => Promise<T>, undo?: () => Promise<unknown>): Promise<T> {
    try {
      return await verb();
    } catch (error) {
      if (!isUnknown(error)) throw error;
      this.failures++;
      return await this.#calm(async () => {
        await undo?.();
        return verb();
      });
    }
  }

  /** The same for a rename: the first attempt may have done it. */
  async #moved(rename: () => Promise<VolumeRef>, to: VolumeRef): Promise<VolumeRef> {
    try {
      return await rename();
    } catch (error) {
      if (!isUnknown(error)) throw error;
      this.failures++;
      return this.#calm(() =>
        rename().catch(async (again: unknown) => {
          if (codeOf(again) !== "absent") throw again;
          return (await this.nodes.at("a").driver.getVolume(this.nodes.ctx, to)).ref;
        }),
      );
    }
  }

  /** A verb that must be refused, also when the array does not answer at first. */
  async #refused(verb: () => Promise<unknown>, code: string): Promise<void> {
    const error = await this.#surely(verb).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    if (error === undefined) throw new Error(`succeeded instead of '${code}'`);
    if (codeOf(error) !== code) throw error;
  }

  async #calm<T>(body: () => Promise<T>): Promise<T> {
    this.nodes.sim.faults.plan({});
    try {
      return await body();
    } finally {
      this.nodes.sim.faults.plan(this.faults);
    }
  }

  #pick(is: (one: Known) => boolean): Known | undefined {
    return this.#pick2(this.known.filter(is));
  }

  #pick2<T>(list: readonly T[]): T | undefined {
    return list.length === 0 ? undefined : this.#at(list);
  }

  #at<T>(list: readonly T[]): T {
    const found = list[Math.floor(this.random() * list.length)];
    if (found === undefined) throw new Error("an empty list");
    return found;
  }
}
