// SPDX-License-Identifier: AGPL-3.0-or-later
import type * as z from "zod";
import type { volumeDefinitionCreateArguments, volumeDefinitionModifyArguments } from "./arguments.js";
import { followData } from "./deploy.js";
import { allocatedFor, isExact, largestIn, usableOf } from "./pools.js";
import { changeProperties, isEmptyChange } from "./properties.js";
import { type Replies, refuse } from "./replies.js";
import { type Definition, diskful, hasDrbd, type Properties, type VolumeDefinition } from "./state.js";
import type { Command, World } from "./world.js";

/** Largest volume in KiB: 1 PiB. */
const largest = 2 ** 40;

export function addVolumeDefinition(
  world: World,
  definition: Definition,
  wanted: { number: number | undefined; size: number; props: Properties },
  out: Replies,
): VolumeDefinition {
  const number = wanted.number ?? freeNumber(definition);
  const { size } = wanted;
  if (definition.volumes.has(number))
    throw refuse(
      "volumeDefinitionExists",
      `Volume definition '${number}' of resource definition '${definition.name}' already exists.`,
      {},
      "volume definition",
    );
  if (!Number.isInteger(number) || number < 0 || number > 65_535)
    throw refuse("invalidVolumeNumber", `Volume number ${number} is out of range.`, {}, "volume definition");
  if (size < 4 || size > largest)
    throw refuse("invalidVolumeSize", `Volume size ${size} KiB is out of range.`, {}, "volume definition");
  const props = { ...wanted.props };
  const uuid = world.uuid();
  const made = { number, size, minor: world.minor(), props, uuid, usable: undefined, data: undefined };
  definition.volumes.set(number, made);
  out.created(
    "volume definition",
    `New volume definition with number '${number}' of resource definition '${definition.name}' created.`,
    { refs: { RscDfn: definition.name, VlmNr: String(number) } },
  );
  return made;
}

function freeNumber({ volumes }: Definition): number {
  for (let number = 0; ; number++) if (!volumes.has(number)) return number;
}

function find(definition: Definition, number: string | undefined): VolumeDefinition {
  const found = definition.volumes.get(Number(number));
  if (!found)
    throw refuse(
      "noVolumeDefinition",
      `Volume definition '${number}' of resource definition '${definition.name}' not found.`,
      { refs: { RscDfn: definition.name, VlmNr: String(number) } },
    );
  return found;
}

export const volumeDefinitionCreate: Command<z.output<typeof volumeDefinitionCreateArguments>> = async (
  world,
  ask,
  out,
) => {
  const definition = world.state.usableDefinition(ask.at["definition"] ?? "");
  if (definition.resources.size > 0)
    throw refuse("resourceExists", `'${definition.name}' is deployed: adding volumes is not simulated.`);
  const { volume_number: number, size_kib: size, props } = ask.body.volume_definition;
  addVolumeDefinition(world, definition, { number, size, props }, out);
};

export const volumeDefinitionDelete: Command = async (world, { at }, out) => {
  const definition = world.state.usableDefinition(at["definition"] ?? "");
  const number = Number(at["volume"]);
  if (!definition.volumes.has(number))
    return out.say("warnNotFound", `Volume definition '${number}' of '${definition.name}' not found.`);
  if (definition.resources.size > 0)
    throw refuse("resourceExists", `'${definition.name}' is deployed: removing volumes is not simulated.`);
  definition.volumes.delete(number);
  out.deleted("volume definition", `Volume definition '${number}' of '${definition.name}' deleted.`);
};

/** Changes properties, or the size on all nodes. */
export const volumeDefinitionModify: Command<z.output<typeof volumeDefinitionModifyArguments>> = async (
  world,
  ask,
  out,
) => {
  const definition = world.state.usableDefinition(ask.at["definition"] ?? "");
  const volume = find(definition, ask.at["volume"]);
  const { size_kib: size } = ask.body;
  if (size !== undefined) checkResize(world, definition, volume, size);
  changeProperties(volume.props, ask.body);
  if (size === volume.size) {
    out.say(
      "warnSameSize",
      `Volume definition '${volume.number}' of '${definition.name}' has this size already.`,
    );
    if (isEmptyChange(ask.body)) return;
  }
  if (size !== undefined && size !== volume.size) await resize(world, definition, volume, size);
  const refs = { RscDfn: definition.name, VlmNr: String(volume.number) };
  out.modified(
    "volume definition",
    `Volume definition '${volume.number}' of '${definition.name}' modified.`,
    {
      refs,
    },
  );
  if (size !== undefined)
    for (const { node } of diskful(definition))
      out.modified(
        "volume",
        `(${node.name}) Resized resource '${definition.name}' to ${volume.usable ?? size} KiB`,
      );
};

function checkResize(world: World, definition: Definition, volume: VolumeDefinition, size: number): void {
  const replicas = diskful(definition);
  const refs = { RscDfn: definition.name, VlmNr: String(volume.number) };
  if (size < 4 || size > largest)
    throw refuse("invalidVolumeSize", `Volume size ${size} KiB is out of range.`, { refs });
  if (size === volume.size || replicas.length === 0) return;
  if (isExact(definition) && hasDrbd(definition))
    throw refuse(
      "invalidProperty",
      `'${definition.name}' cannot be resized while DrbdOptions/ExactSize is true.`,
      {
        refs,
      },
    );
  if (size < volume.size) {
    if (!hasDrbd(definition)) return;
    throw refuse("invalidVolumeSize", `Deployed volume definitions can only grow, not shrink.`, { refs });
  }
  for (const { node, volumes } of replicas) {
    const own = volumes.get(volume.number);
    if (!node.online || !own?.synced)
      throw refuse("notAllUpToDate", `'${definition.name}' on node '${node.name}' is not UpToDate.`, {
        correction: "Wait until all replicas are UpToDate.",
        refs,
      });
    if (!own.pool) continue;
    const more = allocatedFor(definition, size, own.pool.kind, world.behaviour) - own.allocated;
    if (more > largestIn(own.pool, world.state, world.behaviour))
      throw refuse(
        "notEnoughFreeSpace",
        `Not enough free space in storage pool '${own.pool.name}' on '${node.name}'.`,
        {
          refs,
        },
      );
  }
}

async function resize(
  world: World,
  definition: Definition,
  volume: VolumeDefinition,
  size: number,
): Promise<void> {
  const drbd = hasDrbd(definition);
  for (const { volumes } of diskful(definition)) {
    const own = volumes.get(volume.number);
    if (!own?.pool) continue;
    own.allocated = allocatedFor(definition, size, own.pool.kind, world.behaviour);
    if (drbd) volume.usable = usableOf(definition, size, own.allocated);
    else {
      own.usable = own.allocated;
      if (own.data !== undefined) await world.files?.resize(own.data, own.usable * 1024);
    }
  }
  volume.size = size;
  if (drbd && volume.data !== undefined && volume.usable !== undefined)
    await world.files?.resize(volume.data, volume.usable * 1024);
  for (const resource of definition.resources.values()) followData(resource);
}
