// SPDX-License-Identifier: AGPL-3.0-or-later
import * as z from "zod";
import { lunAt, targetAt } from "./lookup.js";
import { refuse } from "./refusal.js";
import { lunShape, targetShape } from "./shapes.js";
import { attachments, type Lun, type Target } from "./state.js";
import { changed, created, type Handler, ok, parsed, type World } from "./world.js";

export const iqnPattern = /^[a-z0-9.:-]{1,223}$/;

const portals = z.strictObject({
  enabled: z.boolean().default(true),
  assigned_vips: z.array(z.string()).default([]),
});

const targetBody = z.strictObject({
  name: z.string().regex(iqnPattern, "an IQN has small letters, digits and . : -"),
  active: z.boolean().optional(),
  incoming_users_active: z.boolean().optional(),
  vip_allowed_portals: portals.optional(),
});

const lunBody = z.strictObject({
  name: z.string(),
  lun: z.number().int().min(0).optional(),
  mode: z.enum(["wt", "wb", "ro"]).default("wt"),
  scsi_id: z.string().min(1).max(16).optional(),
  eui: z.string().optional(),
  block_size: z.union([z.literal(512), z.literal(4096)]).default(512),
  device_handler: z.string().optional(),
});

/** Refuses portals that are not the pool's, and their member where the firmware does not know it. */
function portalsOf(
  world: World,
  vips: readonly { name: string }[],
  given: z.output<typeof portals> | undefined,
  version: string,
): Target["portals"] | undefined {
  if (given === undefined) return undefined;
  if (!world.behaviour.vipAllowedPortals || version === "v3") throw refuse.tooNew("vip_allowed_portals");
  for (const name of given.assigned_vips)
    if (!vips.some((vip) => vip.name === name))
      throw refuse.invalid(`VIP ${name} is not assigned to the pool`);
  return { enabled: given.enabled, assigned: given.assigned_vips };
}

export const targetList: Handler = (world, { pool }) =>
  ok(
    [...pool.targets.values()]
      .filter(({ visibleAt }) => visibleAt <= world.now())
      .map((target) => targetShape(world, pool, target)),
  );

export const targetGet: Handler = (world, ask) => ok(targetShape(world, ask.pool, targetAt(world, ask)));

export const targetCreate: Handler = (world, { pool, body, version }) => {
  const given = parsed(world, targetBody, body);
  const allowed = portalsOf(world, pool.vips, given.vip_allowed_portals, version);
  const { behaviour } = world;
  const others = [...world.state.pools.values()].filter((other) => other !== pool);
  const owner = pool.targets.has(given.name)
    ? pool
    : behaviour.sameTargetInPools === "refuse"
      ? others.find(({ targets }) => targets.has(given.name))
      : undefined;
  if (owner) throw refuse.targetExists(given.name, owner.name, behaviour);
  const late = behaviour.targetCreated === 202 ? behaviour.targetCreateMs : 0;
  const target: Target = {
    name: given.name,
    active: given.active ?? true,
    incomingUsersActive: given.incoming_users_active ?? false,
    portals: allowed ?? { enabled: false, assigned: [] },
    users: new Map(),
    luns: new Map(),
    sessions: [],
    visibleAt: world.now() + late,
    deletes: 0,
  };
  pool.targets.set(target.name, target);
  world.touched(pool, target);
  return { status: behaviour.targetCreated, data: targetShape(world, pool, target) };
};

export const targetUpdate: Handler = (world, ask) => {
  const { pool, body, version } = ask;
  const target = targetAt(world, ask);
  const given = parsed(world, targetBody, body);
  const allowed = portalsOf(world, pool.vips, given.vip_allowed_portals, version);
  if (given.name !== target.name) {
    if (pool.targets.has(given.name)) throw refuse.targetExists(given.name, pool.name, world.behaviour);
    throw refuse.invalid("name: targets are not renamed here");
  }
  target.active = given.active ?? target.active;
  target.incomingUsersActive = given.incoming_users_active ?? target.incomingUsersActive;
  target.portals = allowed ?? target.portals;
  world.touched(pool, target);
  return changed(world);
};

/** Sessions are no obstacle: they are cut, which is what shows a missing guard. */
export const targetDelete: Handler = (world, ask) => {
  const target = targetAt(world, ask);
  target.deletes++;
  if (target.deletes < world.behaviour.targetDeleteCalls) return changed(world);
  target.sessions = [];
  ask.pool.targets.delete(target.name);
  world.touched(ask.pool, target);
  return changed(world);
};

export const lunList: Handler = (world, ask) =>
  ok([...targetAt(world, ask).luns.values()].map((lun) => lunShape(world, lun)));

export const lunGet: Handler = (world, ask) => ok(lunShape(world, lunAt(world, ask).lun));

export const lunAttach: Handler = (world, ask) => {
  const { pool } = ask;
  const target = targetAt(world, ask);
  const given = parsed(world, lunBody, ask.body);
  const volume = pool.volumes.get(given.name);
  if (!volume) throw refuse.noVolume(pool.name, given.name, world.behaviour);
  if (attachments(pool, volume).length > 0) throw refuse.attached(pool.name, given.name);
  const number = given.lun ?? lowestFree(target);
  if (number > world.behaviour.largestLun) throw refuse.invalid(`lun: ${number} is too large`);
  if (target.luns.has(number)) throw refuse.lunTaken(number, target.name);
  const lun: Lun = {
    lun: number,
    name: given.name,
    volume,
    mode: given.mode,
    scsiId: given.scsi_id,
    blockSize: given.block_size,
    empty: ask.has("empty-lun"),
    revision: 0,
  };
  target.luns.set(number, lun);
  world.touched(pool, target);
  return created(world, lunShape(world, lun));
};

function lowestFree({ luns }: Target): number {
  for (let number = 0; ; number++) if (!luns.has(number)) return number;
}

export const lunDetach: Handler = (world, ask) => {
  const { target, lun } = lunAt(world, ask);
  target.luns.delete(lun.lun);
  world.touched(ask.pool, target);
  return changed(world);
};

/** The attachments of a volume name in all pools. */
export const lunSearch: Handler = (world, { query }) => {
  const where = query.get("where") ?? "";
  const [, name] = /^name==([A-Za-z0-9_-]+)$/.exec(where) ?? [];
  if (name === undefined) throw refuse.invalid(`where: '${where}' is not supported`);
  return ok(
    [...world.state.pools.values()].flatMap((pool) =>
      [...pool.targets.values()].flatMap((target) =>
        [...target.luns.values()]
          .filter((lun) => lun.name === name)
          .map((lun) => ({
            pool: pool.name,
            ...(world.behaviour.lunWithoutTarget
              ? {}
              : { iscsi_target: { name: target.name, active: target.active } }),
            lun: lunShape(world, lun),
          })),
      ),
    ),
  );
};
