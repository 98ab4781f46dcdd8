// SPDX-License-Identifier: AGPL-3.0-or-later
import type { DataFiles } from "../common/files.js";
import type { DeviceLinks } from "../common/links.js";
import type { Behaviour } from "./behaviour.js";
import { mayBothWrite } from "./connections.js";
import { devicePath } from "./rows.js";
import {
  type Definition,
  hasDrbd,
  type Openness,
  type Resource,
  type SatelliteNode,
  type State,
} from "./state.js";

/** A device on a node, real or imagined. */
export interface Device {
  readonly node: SatelliteNode;
  readonly definition: Definition;
  readonly volume: number;
  /** Number of its data. */
  readonly data: number;
  /** Bytes. */
  size: number;
  /** Names below the node's `/dev`: `drbd1000`, and the stable one that udev makes. */
  readonly names: readonly string[];
  /** The stable name is there. */
  visible: boolean;
  /** Such as `/dev/loop3`; undefined in memory. */
  readonly loop: string | undefined;
}

interface Slot extends Device {
  timer: NodeJS.Timeout | undefined;
}

type Wanted = Omit<Device, "visible" | "loop">;

/** Where DRBD's stable links are, below the node's `/dev`. */
export const linkDir = "drbd/by-res";

/** Makes the devices of nodes match what is deployed there. Nodes whose satellite is offline keep what they have. */
export class Devices {
  /** What went wrong with nobody waiting for it, and writers that were not permitted. */
  readonly failures: string[] = [];
  readonly #state: State;
  readonly #files: DataFiles | undefined;
  readonly #links: DeviceLinks | undefined;
  readonly #behaviour: () => Behaviour;
  readonly #slots = new Map<string, Slot>();
  readonly #violations = new Set<string>();
  #scanned: Map<string, Openness> | undefined;
  #closed = false;
  #glanced = 0;

  constructor(
    state: State,
    files: DataFiles | undefined,
    links: DeviceLinks | undefined,
    behaviour: () => Behaviour,
  ) {
    this.#state = state;
    this.#files = files;
    this.#links = links;
    this.#behaviour = behaviour;
  }

  all(): readonly Device[] {
    return [...this.#slots.values()];
  }

  /** The device of a volume on a node. */
  find(node: string, definition: Definition, volume: number): Device | undefined {
    return this.#slots.get(key(node, definition, volume));
  }

  /** How the devices of a resource are open, or said to be. */
  openness(resource: Resource): Openness {
    const { node, definition, volumes, said } = resource;
    let most = said;
    for (const number of volumes.keys()) {
      const loop = this.#slots.get(key(node.name, definition, number))?.loop;
      const found = loop === undefined ? "closed" : (this.#scan().get(loop) ?? "closed");
      if (rank[found] > rank[most]) most = found;
    }
    return most;
  }

  /** Notes nodes that write the same resource without permission; the simulator cannot keep a loop device shut. */
  look(): string[] {
    for (const definition of this.#state.definitions.values()) {
      if (!hasDrbd(definition)) continue;
      const writers = definition.resources.values().filter((resource) => this.openness(resource) === "write");
      const names = writers.map(({ node }) => node.name);
      for (const [n, one] of names.entries())
        for (const other of names.slice(n + 1))
          if (!mayBothWrite(this.#state, definition, one, other))
            this.#violations.add(`${definition.name}: two primaries without permission, ${one} and ${other}`);
    }
    return [...this.#violations];
  }

  /** The same now and then: to look at every process of the machine takes longer than most requests. */
  glance(): void {
    const now = performance.now();
    if (now - this.#glanced < this.#behaviour().lookMs) return;
    this.#glanced = now;
    this.look();
  }

  /** Brings the devices of all nodes that can be reached up to date. */
  async converge(): Promise<void> {
    if (this.#closed) return;
    const wanted = new Map(
      this.#wanted().map((one) => [key(one.node.name, one.definition, one.volume), one]),
    );
    for (const [place, slot] of this.#slots) {
      if (!slot.node.online) continue;
      const row = wanted.get(place);
      if (!row || row.data !== slot.data || row.names.join() !== slot.names.join())
        await this.#remove(place, slot);
      else if (row.size !== slot.size) await this.#grow(slot, row.size);
    }
    for (const [place, row] of wanted) if (!this.#slots.has(place)) await this.#appear(place, row);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const slot of this.#slots.values()) clearTimeout(slot.timer);
    await this.#links?.close(this.#state.nodes.values().map(({ dir }) => dir));
    this.#slots.clear();
  }

  #wanted(): Wanted[] {
    const found: Wanted[] = [];
    for (const resource of this.#state.resources()) {
      const { definition, node, volumes, deleting } = resource;
      if (!node.online || deleting) continue;
      for (const { number, data, usable } of volumes.values()) {
        const volume = definition.volumes.get(number);
        const path = volume && devicePath(resource, volume);
        if (data === undefined || path === undefined) continue;
        const plain = path.replace(/^\/dev\//, "");
        const names = hasDrbd(definition) ? [plain, `${linkDir}/${definition.name}/${number}`] : [plain];
        found.push({ node, definition, volume: number, data, size: usable * 1024, names });
      }
    }
    return found;
  }

  async #appear(place: string, row: Wanted): Promise<void> {
    const { node, names, data } = row;
    const file = this.#files?.path(data);
    const loop = this.#links && file ? await this.#links.attach(file, false) : undefined;
    const slot: Slot = { ...row, visible: false, loop, timer: undefined };
    this.#slots.set(place, slot);
    const { linkDelayMs } = this.#behaviour();
    const show = (name: string) => {
      if (loop !== undefined) this.#links?.link(this.#links.path(node.dir, name), loop);
    };
    const [first = "", ...others] = names;
    show(first);
    const showOthers = () => {
      for (const name of others) show(name);
      slot.visible = true;
    };
    if (linkDelayMs === 0) showOthers();
    else slot.timer = setTimeout(showOthers, linkDelayMs);
  }

  async #remove(place: string, slot: Slot): Promise<void> {
    clearTimeout(slot.timer);
    this.#slots.delete(place);
    const links = this.#links;
    if (!links) return;
    for (const name of slot.names) links.unlink(links.path(slot.node.dir, name));
    if (slot.loop !== undefined && this.#files) await links.detach(slot.loop, this.#files.path(slot.data));
    this.#scanned = undefined;
  }

  async #grow(slot: Slot, size: number): Promise<void> {
    const { growDelayMs } = this.#behaviour();
    const grow = async () => {
      if (slot.loop !== undefined) await this.#links?.resize(slot.loop);
    };
    slot.size = size;
    if (growDelayMs === 0) return grow();
    setTimeout(() => {
      if (!this.#closed) grow().catch((error) => this.failures.push(String(error)));
    }, growDelayMs).unref();
  }

  /** One look at all processes serves everything that is asked before the next turn of the loop. */
  #scan(): Map<string, Openness> {
    if (!this.#links) return new Map();
    if (!this.#scanned) {
      const loops = [...this.#slots.values()].flatMap(({ loop }) => loop ?? []);
      this.#scanned = this.#links.openness(loops);
      queueMicrotask(() => {
        this.#scanned = undefined;
      });
    }
    return this.#scanned;
  }
}

const rank = { closed: 0, read: 1, write: 2 } as const;

function key(node: string, { uuid }: Definition, volume: number): string {
  return `${node}/${uuid}/${volume}`;
}
