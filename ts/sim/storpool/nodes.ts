// SPDX-License-Identifier: AGPL-3.0-or-later

import type { DeviceLinks } from "../common/links.js";
import { Mutex } from "../common/mutex.js";
import type { Attachment, Client, Rights, StoredObject } from "./state.js";
import type { World } from "./world.js";

/** Where the links are, below the node's `/dev`. */
export const linkDir = "storpool-byid";

/** A device at a client, real or imagined. */
export interface Device {
  readonly client: number;
  readonly object: StoredObject;
  readonly rights: Rights;
  /** Bytes, as the client knows them. */
  size: number;
  /** The link is there. */
  visible: boolean;
  /** Path of the link; undefined in memory. */
  readonly link: string | undefined;
  /** Such as `/dev/loop3`; undefined in memory. */
  readonly loop: string | undefined;
}

interface Slot extends Device {
  leaving: boolean;
  timer: NodeJS.Timeout | undefined;
}

/**
 * The clients: each makes its devices match the configuration, at once when somebody waits for it, after
 * `syncDelayMs` otherwise. A client that is down keeps the devices it has.
 */
export class Nodes {
  /** What went wrong with nobody waiting for it. */
  readonly failures: string[] = [];
  readonly #world: Pick<World, "state" | "behaviour" | "files">;
  readonly #links: DeviceLinks | undefined;
  readonly #slots = new Map<string, Slot>();
  readonly #queues = new Map<number, Mutex>();
  readonly #waiting = new Set<() => void>();
  #sync: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(world: Pick<World, "state" | "behaviour" | "files">, links: DeviceLinks | undefined) {
    this.#world = world;
    this.#links = links;
  }

  /** The device of an object at a client, while its link is there. */
  device(client: number, object: StoredObject): Device | undefined {
    const slot = this.#slots.get(key(client, object));
    return slot?.visible ? slot : undefined;
  }

  /** All devices, also those whose link is still to come or to go. */
  devices(): readonly Device[] {
    return [...this.#slots.values()];
  }

  async isOpen({ client, object, open }: Attachment): Promise<boolean> {
    const loop = this.#slots.get(key(client, object))?.loop;
    return open || (loop !== undefined && this.#links !== undefined && (await this.#links.isOpen(loop)));
  }

  /** Every client that is up takes the configuration a little later. */
  schedule(): void {
    if (this.#sync || this.#closed) return;
    this.#sync = setTimeout(() => {
      this.#sync = undefined;
      for (const client of this.#world.state.clients.values()) {
        if (client.status === "running") this.#background(this.converge(client));
      }
    }, this.#world.behaviour.syncDelayMs);
  }

  /** Makes the devices of a client match the configuration. */
  converge(client: Client): Promise<void> {
    return this.#queue(client.id, async () => {
      if (client.status === "down" || this.#closed) return;
      const { state } = this.#world;
      const { generation } = state;
      const wanted = new Map(
        state.attachments.filter((row) => row.client === client.id).map((row) => [row.object, row]),
      );
      for (const slot of [...this.#slots.values()]) {
        if (slot.client !== client.id) continue;
        const row = wanted.get(slot.object);
        if (row === undefined) await this.#leave(slot);
        else if (slot.leaving || slot.rights !== row.rights) await this.#remove(slot);
        else if (slot.size !== slot.object.size) await this.#resize(slot);
      }
      for (const row of wanted.values())
        if (!this.#slots.has(key(client.id, row.object))) await this.#appear(client, row);
      client.generation = generation;
    });
  }

  /** An object is about to be deleted or replaced: devices on their way out go now. */
  async forget(object: StoredObject): Promise<void> {
    for (const slot of [...this.#slots.values()]) {
      const up = this.#world.state.clients.get(slot.client)?.status === "running";
      if (slot.object === object && up) await this.#queue(slot.client, () => this.#remove(slot));
    }
  }

  /** Waits until a client is up: `seconds` undefined is for ever. Says whether it is. */
  async appears(client: Client, seconds: number | undefined, signal: AbortSignal): Promise<boolean> {
    if (seconds === 0 || this.#closed) return false;
    await new Promise<void>((resolve) => {
      const done = () => {
        if (client.status === "down" && !signal.aborted && !this.#closed && !over) return;
        this.#waiting.delete(done);
        signal.removeEventListener("abort", done);
        clearTimeout(timer);
        resolve();
      };
      let over = false;
      const expire = () => {
        over = true;
        done();
      };
      const timer = seconds === undefined ? undefined : setTimeout(expire, seconds * 1000);
      this.#waiting.add(done);
      signal.addEventListener("abort", done);
      done();
    });
    return client.status === "running";
  }

  /** Takes a client down or brings it back. */
  async setStatus(client: Client, status: Client["status"]): Promise<void> {
    client.status = status;
    for (const done of [...this.#waiting]) done();
    await this.converge(client);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#sync);
    for (const slot of this.#slots.values()) clearTimeout(slot.timer);
    for (const done of [...this.#waiting]) done();
    await Promise.all([...this.#queues.values()].map((queue) => queue.run(async () => undefined)));
    const dirs = new Set([...this.#world.state.clients.values()].map(({ dir }) => dir));
    await this.#links?.close(dirs);
    this.#slots.clear();
  }

  async #appear(client: Client, { object, rights }: Attachment): Promise<void> {
    const links = this.#links;
    const file = this.#world.files?.path(object.id);
    const loop = links && file ? await links.attach(file, rights === "ro") : undefined;
    const link = links?.path(client.dir, linkName(object.globalId));
    const slot: Slot = {
      client: client.id,
      object,
      rights,
      size: object.size,
      visible: false,
      link,
      loop,
      leaving: false,
      timer: undefined,
    };
    this.#slots.set(key(client.id, object), slot);
    const show = async () => {
      if (slot.leaving || this.#closed) return;
      if (links && link && loop) links.link(link, loop);
      slot.visible = true;
    };
    await this.#later(slot, this.#world.behaviour.linkDelayMs, show);
  }

  async #leave(slot: Slot): Promise<void> {
    if (slot.leaving) return;
    slot.leaving = true;
    await this.#later(slot, this.#world.behaviour.unlinkDelayMs, () => this.#remove(slot));
  }

  async #remove(slot: Slot): Promise<void> {
    const place = key(slot.client, slot.object);
    if (this.#slots.get(place) !== slot) return;
    clearTimeout(slot.timer);
    slot.leaving = true;
    slot.visible = false;
    if (slot.link) this.#links?.unlink(slot.link);
    const file = this.#world.files?.path(slot.object.id);
    if (slot.loop && file) await this.#links?.detach(slot.loop, file);
    this.#slots.delete(place);
  }

  async #resize(slot: Slot): Promise<void> {
    if (slot.loop) await this.#links?.resize(slot.loop);
    slot.size = slot.object.size;
  }

  /** Now, or in turn with the client's other work after a delay. */
  async #later(slot: Slot, delayMs: number, body: () => Promise<void>): Promise<void> {
    clearTimeout(slot.timer);
    if (delayMs === 0) return body();
    slot.timer = setTimeout(() => this.#background(this.#queue(slot.client, body)), delayMs);
  }

  #queue<T>(client: number, body: () => Promise<T>): Promise<T> {
    const queue = this.#queues.get(client) ?? new Mutex();
    this.#queues.set(client, queue);
    return queue.run(body);
  }

  #background(work: Promise<void>): void {
    work.catch((error) => this.failures.push(error instanceof Error ? error.message : String(error)));
  }
}

/** Of a device, below the node's `/dev`. */
export function linkName(globalId: string): string {
  return `${linkDir}/${globalId}`;
}

function key(client: number, object: StoredObject): string {
  return `${client}/${object.id}`;
}
