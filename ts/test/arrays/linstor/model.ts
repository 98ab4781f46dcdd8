// SPDX-License-Identifier: AGPL-3.0-or-later
import type { FaultPlan } from "../../../sim/linstor/index.js";
import type { VolumeRef } from "../../../src/arrays/contract.js";
import { codeOf } from "../../../src/common/errors.js";
import { mib, type NodeName, type Nodes, refOf } from "./nodes.js";

/** What the driver has reported as made. */
export interface Known {
  ref: VolumeRef;
  readonly base: boolean;
  /** The volume that it depends on, and the snapshot; a base's own one when undefined. */
  readonly parent: { readonly of: Known; readonly snapshot: string | undefined } | undefined;
  /** What was asked for, in bytes. */
  size: bigint;
  readonly on: Set<NodeName>;
  /** Oldest first. */
  readonly snaps: { readonly name: string; readonly size: bigint; readonly on: Set<NodeName> }[];
}

/** How a verb may fail when LINSTOR breaks. Anything else is a claim about the object, and wrong. */
function isUnknown(error: unknown): boolean {
  const code = codeOf(error);
  return code === "unreachable" || code === "timeout" || /injected|failed/i.test(String(error));
}

/** Asks for one random verb after the other, on three nodes, and keeps book of what is said. */
export class Model {
  readonly known: Known[] = [];
  /** Verbs that failed for want of an answer, then were repeated. */
  failures = 0;
  #next = 0;

  constructor(
    private readonly nodes: Nodes,
    private readonly random: () => number,
    private readonly faults: FaultPlan,
    /** Nodes whose satellites answer. */
    private readonly online: readonly NodeName[],
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
  async delete(one: Known): Promise<void> {
    const storage = this.nodes.at(this.#node());
    const free = async () => {
      await storage.detachWhole(this.nodes.ctx, one.ref);
      return storage.driver.deleteVolume(this.nodes.ctx, one.ref);
    };
    if (this.known.some(({ parent }) => parent?.of === one)) {
      await this.#refused(free, "busy");
      one.on.delete(storage.host.name as NodeName);
      return;
    }
    await this.#surely(free);
    this.known.splice(this.known.indexOf(one), 1);
  }

  async #create(): Promise<void> {
    const asked = this.#name();
    const size = BigInt(4 + Math.floor(this.random() * 4)) * mib;
    const { driver } = this.nodes.at(this.#node());
    const { ctx } = this.nodes;
    const ref = await this.#surely(
      () => driver.createVolume(ctx, asked, size),
      () => driver.deleteVolume(ctx, asked),
    );
    this.known.push({ ref, size, base: false, parent: undefined, on: new Set(), snaps: [] });
  }

  async #attach(one: Known): Promise<void> {
    const node = this.#node();
    await this.#surely(() => this.nodes.at(node).attach(this.nodes.ctx, one.ref, undefined));
    one.on.add(node);
  }

  async #detach(one: Known): Promise<void> {
    const node = this.#node();
    await this.#surely(() => this.nodes.at(node).detach(this.nodes.ctx, one.ref, undefined));
    one.on.delete(node);
  }

  async #snapshot(one: Known): Promise<void> {
    // In capitals now and then.
    const name = `${this.random() < 0.5 ? "Snap" : "snap"}${this.#next++}`;
    const { driver } = this.nodes.at(this.#node());
    const { ctx } = this.nodes;
    await this.#surely(
      () => driver.createSnapshot(ctx, one.ref, name),
      () => driver.deleteSnapshot(ctx, one.ref, name),
    );
    one.snaps.push({ name, size: one.size, on: new Set() });
  }

  async #readSnapshot(one: Known): Promise<void> {
    const snap = this.#pick(one.snaps);
    if (!snap) return;
    const node = this.#node();
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
    const snap = this.#pick(one.snaps);
    if (!snap) return;
    const storage = this.nodes.at(this.#node());
    const drop = async () => {
      await storage.detach(this.nodes.ctx, one.ref, snap.name);
      await storage.driver.deleteSnapshot(this.nodes.ctx, one.ref, snap.name);
    };
    if (this.known.some(({ parent }) => parent?.of === one && parent.snapshot === snap.name)) {
      await this.#refused(drop, "busy");
      snap.on.delete(storage.host.name as NodeName);
      return;
    }
    await this.#surely(drop);
    one.snaps.splice(one.snaps.indexOf(snap), 1);
  }

  async #rollback(one: Known): Promise<void> {
    const snap = this.#pick(one.snaps);
    if (!snap) return;
    const { driver } = this.nodes.at(this.#node());
    await this.#surely(() => driver.rollback(this.nodes.ctx, one.ref, snap.name));
    one.size = snap.size;
  }

  async #resize(one: Known): Promise<void> {
    const size = one.size + mib;
    const { driver } = this.nodes.at(this.#node());
    await this.#surely(() => driver.resizeVolume(this.nodes.ctx, one.ref, size));
    one.size = size;
  }

  async #clone(one: Known): Promise<void> {
    const snap = one.base ? undefined : this.#pick(one.snaps);
    if (!one.base && !snap) return;
    const target = this.#name();
    const { driver } = this.nodes.at(this.#node());
    const { ctx } = this.nodes;
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

  async #rename(one: Known): Promise<void> {
    const to = this.#name();
    const node = this.#node();
    const storage = this.nodes.at(node);
    const rename = async () => {
      await storage.detach(this.nodes.ctx, one.ref, undefined);
      return storage.driver.renameVolume(this.nodes.ctx, one.ref, to);
    };
    if (one.snaps.length > 0) await this.#refused(rename, "refused");
    else one.ref = await this.#moved(rename, to);
    one.on.delete(node);
  }

  async #makeBase(one: Known): Promise<void> {
    if (one.snaps.length > 0) return;
    const node = this.#node();
    const to = refOf(one.ref.name.replace(/^vm-/, "base-"));
    const storage = this.nodes.at(node);
    const make = async () => {
      await storage.detach(this.nodes.ctx, one.ref, undefined);
      return storage.driver.makeBase(this.nodes.ctx, one.ref, to);
    };
    const ref = await this.#surely(make);
    const base = { ...one, ref, base: true };
    base.on.delete(node);
    this.known[this.known.indexOf(one)] = base;
  }

  #node(): NodeName {
    return this.#at(this.online);
  }

  #name(): VolumeRef {
    return refOf(`vm-${100 + this.#next++}-disk-0`);
  }

  /** A verb that stays unanswered must succeed when LINSTOR answers again, after `undo` where the contract asks for that. */
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
          return (await this.nodes.at("pve1").driver.getVolume(this.nodes.ctx, to)).ref;
        }),
      );
    }
  }

  /** A verb that must be refused, also when LINSTOR does not answer at first. */
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

  #pick<T>(list: readonly T[]): T | undefined {
    return list.length === 0 ? undefined : this.#at(list);
  }

  #at<T>(list: readonly T[]): T {
    const found = list[Math.floor(this.random() * list.length)];
    if (found === undefined) throw new Error("an empty list");
    return found;
  }
}
