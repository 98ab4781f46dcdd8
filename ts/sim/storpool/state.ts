// SPDX-License-Identifier: AGPL-3.0-or-later
import { refuse } from "./refusal.js";

/** Attachments one client can have: positions 0 to 1023. */
export const slotsPerClient = 1024;

/** A template: where new volumes go. */
export interface Template {
  readonly id: number;
  readonly name: string;
  /** Bytes. */
  readonly capacity: number;
  /** Copies; "-" when unset. */
  readonly replication: number | "-";
}

/** A volume or a snapshot. The identity is `id`, also for its file; freezing turns the one kind into the other. */
export interface StoredObject {
  readonly id: number;
  /** Such as `nzkr.b.1f`. */
  globalId: string;
  /** Empty for unnamed ones, which are listed as `~<globalId>`. */
  name: string;
  kind: "volume" | "snapshot";
  /** The snapshot whose blocks this one shares. */
  parent: StoredObject | undefined;
  template: string;
  /** Bytes. */
  size: number;
  /** Seconds since 1970. */
  readonly created: number;
  tags: Record<string, string>;
  /** Listed name of the volume a snapshot was made of, as it was then; "" otherwise. */
  onVolume: string;
  /** That volume's number, which stays when it is renamed; 0 otherwise. */
  madeOf: number;
  /** The hidden snapshot behind a copy of a live volume. */
  transient: boolean;
  /** Goes when it has no child any more. */
  bound: boolean;
  /** Deleted, but children still need it. */
  deleted: boolean;
  /** Seconds since 1970; 0 for never. */
  deleteDate: number;
  /** Members of the listed row that differ from the usual, such as `"bw": 100`. */
  extra: Readonly<Record<string, unknown>>;
}

/** May a client write? */
export type Rights = "rw" | "ro";

/** An object is given to a client. */
export interface Attachment {
  readonly object: StoredObject;
  readonly client: number;
  rights: Rights;
  /** Position among the client's attachments, 0 to 1023. */
  readonly pos: number;
  /** Said to be open, whatever the device looks like. */
  open: boolean;
}

/** The block service of a node. */
export interface Client {
  readonly id: number;
  /** Folder of the node below the devices directory. */
  readonly dir: string;
  status: "running" | "down";
  /** Generation of the configuration it has. */
  generation: number;
}

/** Everything the service remembers. Lookups refuse like the service. */
export class State {
  readonly templates = new Map<string, Template>();
  readonly objects = new Map<number, StoredObject>();
  readonly clients = new Map<number, Client>();
  readonly clusterId: string;
  attachments: Attachment[] = [];
  /** Counts successful commands. */
  generation = 10_000;
  readonly #byGlobalId = new Map<string, StoredObject>();
  #nextNumber: number;

  constructor(clusterId: string, firstNumber = 36) {
    this.clusterId = clusterId;
    this.#nextNumber = firstNumber;
  }

  /** A number and a global id that were never used. */
  identity(): { id: number; globalId: string } {
    const number = this.#nextNumber++;
    return { id: 6400 + number, globalId: `${this.clusterId}.${number.toString(36)}` };
  }

  add(object: StoredObject): void {
    this.objects.set(object.id, object);
    this.#byGlobalId.set(object.globalId, object);
  }

  remove(object: StoredObject): void {
    this.objects.delete(object.id);
    this.#byGlobalId.delete(object.globalId);
  }

  changeGlobalId(object: StoredObject, globalId: string): void {
    this.#byGlobalId.delete(object.globalId);
    object.globalId = globalId;
    this.#byGlobalId.set(globalId, object);
  }

  template(name: string): Template {
    const found = this.templates.get(name);
    if (!found) throw refuse("objectDoesNotExist", `Template '${name}' does not exist`);
    return found;
  }

  /** By name or `~<globalId>`. Undefined for unknown ones and for the other kind. */
  find(kind: StoredObject["kind"], address: string): StoredObject | undefined {
    if (address.startsWith("~")) {
      const found = this.#byGlobalId.get(address.slice(1));
      return found?.kind === kind ? found : undefined;
    }
    if (address === "") return undefined;
    for (const object of this.objects.values())
      if (object.kind === kind && object.name === address) return object;
    return undefined;
  }

  volume(address: string): StoredObject {
    const found = this.find("volume", address);
    if (!found) throw refuse("objectDoesNotExist", `Volume '${address}' does not exist`);
    return found;
  }

  /** A snapshot that is not deleted. */
  snapshot(address: string): StoredObject {
    const found = this.find("snapshot", address);
    if (!found || found.deleted) throw refuse("objectDoesNotExist", `Snapshot '${address}' does not exist`);
    return found;
  }

  client(id: number): Client {
    const found = this.clients.get(id);
    if (!found) throw refuse("invalidParam", `No such client registered: ${id}`);
    return found;
  }

  attached(object: StoredObject): Attachment[] {
    return this.attachments.filter((attachment) => attachment.object === object);
  }

  attachment(client: number, object: StoredObject): Attachment | undefined {
    return this.attachments.find((row) => row.client === client && row.object === object);
  }

  attach(object: StoredObject, client: number, rights: Rights): void {
    const taken = new Set(this.attachments.filter((row) => row.client === client).map((row) => row.pos));
    for (let pos = 0; pos < slotsPerClient; pos++) {
      if (taken.has(pos)) continue;
      this.attachments.push({ object, client, rights, pos, open: false });
      return;
    }
    throw refuse("invalidParam", `No free attachment position at client ${client}`);
  }

  detach(gone: ReadonlySet<Attachment>): void {
    this.attachments = this.attachments.filter((attachment) => !gone.has(attachment));
  }

  hasChildren(object: StoredObject): boolean {
    for (const other of this.objects.values()) if (other.parent === object) return true;
    return false;
  }

  /** Bytes that volumes of a template may fill; snapshots count as free of charge. */
  used(template: string): number {
    let sum = 0;
    for (const object of this.objects.values())
      if (object.kind === "volume" && object.template === template) sum += object.size;
    return sum;
  }

  /** Refuses when a template has no room for so many bytes more. */
  room(template: string, bytes: number): void {
    if (this.used(template) + bytes > this.template(template).capacity)
      throw refuse("insufficientResources", `Not enough space in template '${template}'`);
  }
}

/** The name under which an object is listed. */
export function listedName(object: StoredObject): string {
  const plain = object.name === "" ? `~${object.globalId}` : object.name;
  return object.deleted && !plain.startsWith("*") ? `*${plain}` : plain;
}
