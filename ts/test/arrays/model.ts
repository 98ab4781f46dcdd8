// SPDX-License-Identifier: AGPL-3.0-or-later
import type { VolumeRef } from "../../src/arrays/contract.js";
import type { Context } from "../../src/common/context.js";
import { codeOf } from "../../src/common/errors.js";
import type { Storage } from "../../src/plugin/storage.js";

const mib = 1n << 20n;

/** What the driver has reported as made. */
export interface Known<Node extends string> {
  ref: VolumeRef;
  readonly base: boolean;
  /** The volume that it depends on, and the snapshot; a base's own one when undefined. */
  readonly parent: { readonly of: Known<Node>; readonly snapshot: string | undefined } | undefined;
  /** What was asked for, in bytes. */
  size: bigint;
  readonly on: Set<Node>;
  /** Oldest first. */
  readonly snaps: { readonly name: string; readonly size: bigint; readonly on: Set<Node> }[];
}

type Snap<Node extends string> = Known<Node>["snaps"][number];

/** The array and its nodes. */
export interface World<Node extends string, Plan> {
  readonly ctx: Context;
  readonly sim: { readonly faults: { plan(plan: Plan | Record<string, never>): void } };
  at(node: Node): Storage;
}

/** What holds for one kind of array. */
export interface Rules<Node extends string> {
  /** Those that are asked. */
  readonly nodes: readonly Node[];
  /** Parses a short name. */
  refOf(name: string): VolumeRef;
  /** The smallest volume, in MiB. */
  readonly leastMib: number;
  /** How a verb may fail when the array breaks. Anything else is a claim about the object, and wrong. */
  isUnknown(error: unknown): boolean;
  /** What another node has attached is neither changed nor deleted. */
  readonly exclusive: boolean;
  /** Only the newest snapshot can be gone back to. */
  readonly newestOnly: boolean;
}

/** Asks for one random verb after the other, on all nodes, and keeps book of what is said. */
export class Model<Node extends string, Plan> {
  readonly known: Known<Node>[] = [];
  /** Verbs that failed for want of an answer, then were repeated. */
  failures = 0;
  /** A node does not answer: what needs all of them may be refused, and is as it was. */
  away = false;
  #next = 0;

  constructor(
    private readonly world: World<Node, Plan>,
    private readonly rules: Rules<Node>,
    private readonly random: () => number,
    private readonly faults: Plan,
  ) {}

  /** One verb, whichever is possible. */
  async step(): Promise<void> {
    const disk = this.#pick(this.known.filter(({ base }) => !base));
    const any = this.#pick(this.known);
    const verbs = [() => this.#create()];
    if (any) verbs.push(...[() => this.#attach(any), () => this.#detach(any)]);
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

  /** A volume that others depend on is refused. */
  async delete(one: Known<Node>): Promise<void> {
    const node = this.#nodeOf(one);
    const storage = this.world.at(node);
    const free = async () => {
      await storage.detachWhole(this.world.ctx, one.ref);
      return storage.driver.deleteVolume(this.world.ctx, one.ref);
    };
    const read = one.snaps.some((snap) => this.#isElsewhere(snap, node));
    if (this.known.some(({ parent }) => parent?.of === one) || read || this.#isElsewhere(one, node)) {
      await this.#refused(free, "busy");
      for (const { on } of [one, ...one.snaps]) on.delete(node);
      return;
    }
    if (await this.#possibly(free)) this.known.splice(this.known.indexOf(one), 1);
    else for (const { on } of [one, ...one.snaps]) on.delete(node);
  }

  async #create(): Promise<void> {
    const asked = this.#name();
    const size = BigInt(this.rules.leastMib + Math.floor(this.random() * 4)) * mib;
    const { driver } = this.world.at(this.#node());
    const { ctx } = this.world;
    const ref = await this.#surely(
      () => driver.createVolume(ctx, asked, size),
      () => driver.deleteVolume(ctx, asked),
    );
    this.known.push({ ref, size, base: false, parent: undefined, on: new Set(), snaps: [] });
  }

  async #attach(one: Known<Node>): Promise<void> {
    const node = this.#node();
    await this.#surely(() => this.world.at(node).attach(this.world.ctx, one.ref, undefined));
    one.on.add(node);
  }

  async #detach(one: Known<Node>): Promise<void> {
    const node = this.#node();
    await this.#surely(() => this.world.at(node).detach(this.world.ctx, one.ref, undefined));
    one.on.delete(node);
  }

  async #snapshot(one: Known<Node>): Promise<void> {
    // In capitals now and then.
    const name = `${this.random() < 0.5 ? "Snap" : "snap"}${this.#next++}`;
    const { driver } = this.world.at(this.#node());
    const { ctx } = this.world;
    await this.#surely(
      () => driver.createSnapshot(ctx, one.ref, name),
      () => driver.deleteSnapshot(ctx, one.ref, name),
    );
    one.snaps.push({ name, size: one.size, on: new Set() });
  }

  async #readSnapshot(one: Known<Node>): Promise<void> {
    const snap = this.#pick(one.snaps);
    if (!snap) return;
    const node = this.#node();
    await this.#surely(() => this.world.at(node).attach(this.world.ctx, one.ref, snap.name));
    snap.on.add(node);
  }

  async #stopReading(one: Known<Node>): Promise<void> {
    for (const snap of one.snaps) {
      for (const node of snap.on) {
        await this.#surely(() => this.world.at(node).detach(this.world.ctx, one.ref, snap.name));
        snap.on.delete(node);
      }
    }
  }

  async #dropSnapshot(one: Known<Node>): Promise<void> {
    const snap = this.#pick(one.snaps);
    if (!snap) return;
    const node = this.#node();
    const storage = this.world.at(node);
    const drop = async () => {
      await storage.detach(this.world.ctx, one.ref, snap.name);
      await storage.driver.deleteSnapshot(this.world.ctx, one.ref, snap.name);
    };
    const cloned = this.known.some(({ parent }) => parent?.of === one && parent.snapshot === snap.name);
    if (cloned || this.#isElsewhere(snap, node)) {
      await this.#refused(drop, "busy");
      snap.on.delete(node);
      return;
    }
    await this.#surely(drop);
    one.snaps.splice(one.snaps.indexOf(snap), 1);
  }

  async #rollback(one: Known<Node>): Promise<void> {
    const snap = this.#pick(one.snaps);
    if (!snap) return;
    const node = this.#nodeOf(one);
    const storage = this.world.at(node);
    const { exclusive, newestOnly } = this.rules;
    const roll = async () => {
      if (exclusive) await storage.detach(this.world.ctx, one.ref, undefined);
      await storage.driver.rollback(this.world.ctx, one.ref, snap.name);
    };
    if (this.#isElsewhere(one, node)) await this.#refused(roll, "busy");
    else if (newestOnly && one.snaps.at(-1) !== snap) await this.#refused(roll, "refused");
    else if (await this.#possibly(roll)) one.size = snap.size;
    if (exclusive) one.on.delete(node);
  }

  async #resize(one: Known<Node>): Promise<void> {
    const size = one.size + mib;
    const { driver } = this.world.at(this.#node());
    if (await this.#possibly(() => driver.resizeVolume(this.world.ctx, one.ref, size))) one.size = size;
  }

  async #clone(one: Known<Node>): Promise<void> {
    const snap = one.base ? undefined : this.#pick(one.snaps);
    if (!one.base && !snap) return;
    const target = this.#name();
    const { driver } = this.world.at(this.#node());
    const { ctx } = this.world;
    const ref = await this.#surely(
      () => driver.cloneVolume(ctx, one.ref, snap?.name, target),
      () => driver.deleteVolume(ctx, target),
    );
    this.known.push({
      ref,
      size: snap?.size ?? one.size,
      base: false,
      parent: { of: one, snapshot: snap?.name },
      on: new Set(),
      snaps: [],
    });
  }

  async #rename(one: Known<Node>): Promise<void> {
    const to = this.#name();
    const node = this.#nodeOf(one);
    const storage = this.world.at(node);
    const rename = async () => {
      await storage.detach(this.world.ctx, one.ref, undefined);
      return storage.driver.renameVolume(this.world.ctx, one.ref, to);
    };
    if (one.snaps.length > 0) await this.#refused(rename, "refused");
    else if (this.#isElsewhere(one, node)) await this.#refused(rename, "busy");
    else one.ref = await this.#moved(rename, to);
    one.on.delete(node);
  }

  async #makeBase(one: Known<Node>): Promise<void> {
    if (one.snaps.length > 0) return;
    const node = this.#nodeOf(one);
    const to = this.rules.refOf(one.ref.name.replace(/^vm-/, "base-"));
    const storage = this.world.at(node);
    const make = async () => {
      await storage.detach(this.world.ctx, one.ref, undefined);
      return storage.driver.makeBase(this.world.ctx, one.ref, to);
    };
    if (this.#isElsewhere(one, node)) {
      await this.#refused(make, "busy");
      one.on.delete(node);
      return;
    }
    const ref = await this.#surely(make);
    const base = { ...one, ref, base: true };
    base.on.delete(node);
    this.known[this.known.indexOf(one)] = base;
  }

  #node(): Node {
    return this.#at(this.rules.nodes);
  }

  /** The node on which PVE would ask. */
  #nodeOf(one: Known<Node>): Node {
    const [holder] = this.rules.exclusive ? one.on : [];
    return holder ?? this.#node();
  }

  /** Whether a node other than this one has a volume or a snapshot, where that matters. */
  #isElsewhere({ on }: Known<Node> | Snap<Node>, node: Node): boolean {
    return this.rules.exclusive && [...on].some((other) => other !== node);
  }

  /** A guest of its own for each volume: what guests share is another test's business. */
  #name(): VolumeRef {
    return this.rules.refOf(`vm-${100 + this.#next++}-disk-0`);
  }

  /** A verb that stays unanswered must succeed when the array answers again, after `undo` where the contract asks for that. */
  async #surely<T>(verb: () => Promise<T>, undo?: () => Promise<unknown>): Promise<T> {
    try {
      return await verb();
    } catch (error) {
      if (!this.rules.isUnknown(error)) throw error;
      this.failures++;
      return await this.#calm(async () => {
        await undo?.();
        return verb();
      });
    }
  }

  /** The same for a verb that needs all nodes: false when it was refused because one is away. */
  async #possibly(verb: () => Promise<unknown>): Promise<boolean> {
    try {
      await this.#surely(verb);
      return true;
    } catch (error) {
      if (this.away && ["unreachable", "busy"].includes(codeOf(error))) return false;
      throw error;
    }
  }

  /** The same for a rename: the first attempt may have done it. */
  async #moved(rename: () => Promise<VolumeRef>, to: VolumeRef): Promise<VolumeRef> {
    try {
      return await rename();
    } catch (error) {
      if (!this.rules.isUnknown(error)) throw error;
      this.failures++;
      return this.#calm(() =>
        rename().catch(async (again: unknown) => {
          if (codeOf(again) !== "absent") throw again;
          return (await this.world.at(this.#node()).driver.getVolume(this.world.ctx, to)).ref;
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
    this.world.sim.faults.plan({});
    try {
      return await body();
    } finally {
      this.world.sim.faults.plan(this.faults);
    }
  }

  #pick<T>(list: readonly T[]): T | undefined {
    return list.length === 0 ? undefined : this.#at(list);
  }

  #at<T>(list: readonly T[]): T {
    const found = list[Math.floor(this.random() * list.length)];
    if (found === undefined) throw new Error("an empty list");
    return found;
  }
}
