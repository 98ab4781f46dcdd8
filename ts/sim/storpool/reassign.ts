// SPDX-License-Identifier: AGPL-3.0-or-later
import { argumentsOf, type ReassignEntry, reassignArguments } from "./arguments.js";
import { refuse } from "./refusal.js";
import {
  type Attachment,
  type Client,
  listedName,
  type Rights,
  type State,
  type StoredObject,
  slotsPerClient,
} from "./state.js";
import type { Command, World } from "./world.js";

/** What one entry of a request changes. */
interface Change {
  readonly object: StoredObject;
  readonly gone: readonly Attachment[];
  readonly given: ReadonlyMap<number, Rights>;
  readonly force: boolean;
}

export const volumesReassign: Command = async (world, _argument, body) => {
  const { reassign } = argumentsOf(reassignArguments, body);
  await apply(
    world,
    reassign.map((entry) => planned(world.state, entry)),
  );
  return {};
};

export const volumesReassignWait: Command = async (world, _argument, body) => {
  const { reassign, attachTimeout } = argumentsOf(reassignArguments, body);
  const changes = reassign.map((entry) => planned(world.state, entry));
  const ids = new Set<number>();
  for (const { given, gone } of changes) {
    for (const id of given.keys()) ids.add(id);
    if (world.behaviour.waitForDetached) for (const { client } of gone) ids.add(client);
  }
  const clients = [...ids].map((id) => world.state.client(id));
  await apply(world, changes);
  return { wait: (signal) => confirmed(world, clients, attachTimeout, signal) };
};

/** Takes an object from every client; used by the deletion that does so first. */
export async function detachAll(world: World, object: StoredObject, force: boolean): Promise<void> {
  await apply(world, [{ object, gone: world.state.attached(object), given: new Map(), force }]);
}

/** `busy` when a client has the object. */
export function refuseWhenAttached(state: State, object: StoredObject): void {
  const [first] = state.attached(object);
  if (first)
    throw refuse("busy", `${kindOf(object)} '${listedName(object)}' is attached to client ${first.client}`);
}

function kindOf(object: StoredObject): string {
  return object.kind === "volume" ? "Volume" : "Snapshot";
}

/** Checks one entry against the state, changing nothing. */
function planned(state: State, entry: ReassignEntry): Change {
  if ((entry.volume === undefined) === (entry.snapshot === undefined))
    throw refuse("invalidParam", "exactly one of volume and snapshot is needed");
  const object =
    entry.volume === undefined ? state.snapshot(entry.snapshot ?? "") : state.volume(entry.volume);
  if (object.kind === "snapshot" && entry.rw.length > 0)
    throw refuse("invalidParam", `Snapshot '${listedName(object)}' cannot be attached rw`);
  const given = new Map<number, Rights>();
  for (const id of entry.ro) given.set(state.client(id).id, "ro");
  for (const id of entry.rw) {
    if (given.has(id)) throw refuse("invalidParam", `client ${id} is in both rw and ro`);
    given.set(state.client(id).id, "rw");
  }
  const { detach } = entry;
  if (detach !== "all") {
    for (const id of detach)
      if (given.has(state.client(id).id))
        throw refuse("invalidParam", `client ${id} is in both detach and rw or ro`);
  }
  // "all" spares those that the same entry attaches: the atomic takeover.
  const gone = state
    .attached(object)
    .filter(({ client }) => !given.has(client) && (detach === "all" || detach.includes(client)));
  return { object, gone, given, force: entry.force };
}

/** All changes or none: everything that can be refused is looked at first. */
async function apply(world: World, changes: readonly Change[]): Promise<void> {
  const { state } = world;
  const added = new Map<number, number>();
  for (const { object, gone, given, force } of changes) {
    for (const id of given.keys()) if (!state.attachment(id, object)) added.set(id, (added.get(id) ?? 0) + 1);
    for (const { client } of gone) added.set(client, (added.get(client) ?? 0) - 1);
    if (force) continue;
    const changed = state
      .attached(object)
      .filter((row) => (given.get(row.client) ?? row.rights) !== row.rights);
    for (const row of [...gone, ...changed]) {
      if (!(await world.nodes.isOpen(row))) continue;
      throw refuse(
        world.behaviour.openIsInvalidParam ? "invalidParam" : "busy",
        `${kindOf(object)} '${listedName(object)}' is open at client ${row.client}`,
      );
    }
  }
  for (const [client, count] of added) {
    const now = state.attachments.filter((row) => row.client === client).length;
    if (count > 0 && now + count > slotsPerClient)
      throw refuse("invalidParam", `No free attachment position at client ${client}`);
  }
  for (const { gone } of changes) state.detach(new Set(gone));
  for (const { object, given } of changes) {
    for (const [client, rights] of given) {
      const row = state.attachment(client, object);
      if (row) row.rights = rights;
      else state.attach(object, client, rights);
    }
  }
}

/** Waits until the clients have the new configuration; `seconds` undefined is for ever, 0 is not at all. */
async function confirmed(
  world: World,
  clients: readonly Client[],
  seconds: number | undefined,
  signal: AbortSignal,
): Promise<void> {
  const there = await Promise.all(
    clients.map(async (client) => {
      if (client.status === "down" && !(await world.nodes.appears(client, seconds, signal)))
        return seconds === 0;
      await world.nodes.converge(client);
      return true;
    }),
  );
  const missing = clients.find((_, index) => !there[index]);
  if (missing && !signal.aborted && world.behaviour.attachExpiry === "error")
    throw refuse("timeout", `client ${missing.id} did not confirm within ${seconds} s`);
}
