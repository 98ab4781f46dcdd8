// SPDX-License-Identifier: AGPL-3.0-or-later
import { lstat, realpath, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Leftover, VolumeRef } from "../arrays/contract.js";
import { Cluster } from "../arrays/guest.js";
import type { Context } from "../common/context.js";
import { codeOf, fail } from "../common/errors.js";
import type { DevicePath } from "../connectors/device-layer.js";
import { IscsiConnector } from "../connectors/iscsi.js";
import { recordedPortals, targetHere, targetNames } from "../connectors/iscsi-leftovers.js";
import { linkNames, linksTo, linkTarget, removeLink } from "../connectors/link.js";
import { layerOf, type Storage } from "./storage.js";

/** A volume that was activated more recently may be on its way to its guest, in milliseconds. */
const settledAfterMs = 10 * 60 * 1000;

/**
 * All that a storage has left on this node and on its array, and that nobody needs: links to devices that are gone, volumes
 * whose guest is elsewhere or that the array does not have any more, disks, sessions and records of its targets that no
 * volume has; and what the driver finds. Changes nothing.
 */
export async function leftovers(storage: Storage, ctx: Context): Promise<Leftover[]> {
  const { upkeep } = storage.driver;
  return [
    ...(await volumesLeft(storage, ctx)),
    ...(await targetsLeft(storage, ctx)),
    ...((await upkeep?.leftovers?.(ctx)) ?? []),
  ];
}

/**
 * Removes one of them, if it still is one. The guest's lock is held by the caller.
 *
 * @throws `absent` when it is none any more, `refused` when it is only listed, `busy` when somebody uses it
 */
export async function removeLeftover(
  storage: Storage,
  ctx: Context,
  { kind, name, vmid }: { kind: string; name: string; vmid?: number | undefined },
): Promise<void> {
  const found = (await leftovers(storage, ctx)).find((one) => one.kind === kind && one.name === name);
  // Under the lock of this guest, and of no other.
  if (!found || found.vmid !== vmid)
    throw fail(
      "absent",
      `remove ${kind} '${name}': it is no leftover any more; list them again with pve-blockio sweep`,
    );
  if (found.keep !== undefined)
    throw fail("refused", `remove ${kind} '${name}': ${found.keep}; look at it by hand`);
  ctx.log.info("removing a leftover", { kind, name, why: found.why });
  switch (kind) {
    case "link":
      return removeLink(join(storage.devices.links, storage.storeid, name));
    case "volume":
      return dropVolume(storage, ctx, name);
    case "disk":
    case "session":
    case "record": {
      const [iqn = "", wwid] = name.split(" ");
      return iscsiOf(storage).discard(ctx, iqn, wwid, storage.devices.links);
    }
    default:
      await storage.driver.upkeep?.removeLeftover?.(ctx, found);
  }
}

/** Links of this storage: to nothing, or to a volume that this node does not need. */
async function volumesLeft(storage: Storage, ctx: Context): Promise<Leftover[]> {
  const dir = join(storage.devices.links, storage.storeid);
  const found: Leftover[] = [];
  for (const name of (await linkNames(dir)).filter((one) => !one.endsWith(".new"))) {
    const device = await linkTarget(join(dir, name));
    const [ref] = readings(storage, name);
    if (!ref || device === undefined) continue;
    const { vmid } = ref.ref;
    if (!(await isThere(join(storage.devices.root ?? "/", device)))) {
      found.push({ kind: "link", name, vmid, why: `leads to ${device}, which is gone` });
      continue;
    }
    const why = await notNeeded(storage, ctx, name);
    if (why === undefined) continue;
    found.push({ kind: "volume", name, vmid, why, ...(await keptVolume(storage, join(dir, name), device)) });
  }
  return found;
}

async function notNeeded(storage: Storage, ctx: Context, link: string): Promise<string | undefined> {
  const reading = await existing(storage, ctx, link);
  if (!reading) return "the array does not have this volume any more";
  const { vmid } = reading.ref;
  const guest = await new Cluster().guest(vmid);
  const { name } = storage.host;
  // In the making, or on its way to this node.
  if (!guest || guest.node === name || guest.lock !== undefined || guest.ha?.node === name) return undefined;
  return `active here, and guest ${vmid} is on '${guest.node}'`;
}

/** What a link stands for. */
interface Reading {
  readonly ref: VolumeRef;
  readonly snapshot?: string;
}

/** What the name of a link may mean: a volume, or a snapshot; names of volumes may have an `@` too. */
function readings(storage: Storage, link: string): Reading[] {
  const at = link.lastIndexOf("@");
  const whole = refOf(storage, link);
  const volume = at < 0 ? undefined : refOf(storage, link.slice(0, at));
  return [
    ...(volume ? [{ ref: volume, snapshot: link.slice(at + 1) }] : []),
    ...(whole ? [{ ref: whole }] : []),
  ];
}

/** The reading whose volume the array has. */
async function existing(storage: Storage, ctx: Context, link: string): Promise<Reading | undefined> {
  for (const reading of readings(storage, link)) {
    try {
      await storage.driver.getVolume(ctx, reading.ref);
      return reading;
    } catch (error) {
      if (codeOf(error) !== "absent") throw error;
    }
  }
  return undefined;
}

async function keptVolume(storage: Storage, link: string, device: string): Promise<{ keep?: string }> {
  const { ctimeMs } = await lstat(link);
  if (Date.now() - ctimeMs < settledAfterMs)
    return { keep: "it was activated less than ten minutes ago: its guest may be on the way" };
  return used(await usersOf(storage, device));
}

/** Disks, sessions and records of this storage's targets that no volume has. */
async function targetsLeft(storage: Storage, ctx: Context): Promise<Leftover[]> {
  const { devices, driver } = storage;
  const owner = driver.upkeep?.ownerOfTarget;
  if (!owner) return [];
  const { links, root = "/" } = devices;
  const layer = layerOf(devices);
  const found: Leftover[] = [];
  for (const iqn of await targetNames(root)) {
    ctx.signal.throwIfAborted();
    const vmid = owner(iqn);
    if (vmid === undefined) continue;
    const { sessions, paths } = await targetHere(layer, root, iqn);
    if (sessions.length === 0 && (await recordedPortals(root, iqn)).length > 0)
      found.push({
        kind: "record",
        name: iqn,
        vmid,
        why: "open-iscsi knows this target, and there is no session",
      });
    if (sessions.length > 0 && sessions.every(({ luns }) => luns.length === 0))
      found.push({ kind: "session", name: iqn, vmid, why: "logged in, and no disk of it is here" });
    for (const [wwid, disk] of byIdentity(paths)) {
      const map = await layer.multipathMap(root, wwid);
      const names = [...(map ? [`/dev/mapper/${map.name}`] : []), ...disk.map(({ name }) => `/dev/${name}`)];
      const linked = (await Promise.all(names.map((name) => linksTo(links, name)))).flat();
      if (linked.length > 0) continue;
      const users = await layer.deviceUsers(root, map?.node ?? disk[0]?.name ?? "");
      const why = `no volume has ${names.join(", ")}`;
      found.push({ kind: "disk", name: `${iqn} ${wwid}`, vmid, why, ...used(users) });
    }
  }
  return found;
}

function byIdentity(paths: readonly DevicePath[]): Map<string, DevicePath[]> {
  const disks = new Map<string, DevicePath[]>();
  for (const path of paths)
    if (path.wwid !== undefined) disks.set(path.wwid, [...(disks.get(path.wwid) ?? []), path]);
  return disks;
}

/** Takes a volume off this node; where the array has lost it, only the node's side. */
async function dropVolume(storage: Storage, ctx: Context, name: string): Promise<void> {
  const [first] = readings(storage, name);
  if (!first) return;
  const reading = await existing(storage, ctx, name);
  if (reading) return storage.detach(ctx, reading.ref, reading.snapshot);
  const { ref } = first;
  const link = join(storage.devices.links, storage.storeid, name);
  // The array could not tell where it was: without the link the disk is one that no volume has.
  await removeLink(link);
  for (const left of await targetsLeft(storage, ctx)) {
    if (left.vmid !== ref.vmid || left.keep !== undefined || left.kind !== "disk") continue;
    const [iqn = "", wwid] = left.name.split(" ");
    await iscsiOf(storage).discard(ctx, iqn, wwid, storage.devices.links);
  }
}

/** The service's own connector: its locks keep activations apart from this. */
function iscsiOf({ devices }: Storage): IscsiConnector {
  const connector = devices.connectorOf("iscsi");
  if (connector instanceof IscsiConnector) return connector;
  throw fail("unsupported", "remove a disk: iSCSI is left to another program here; ask that one");
}

async function usersOf({ devices }: Storage, device: string): Promise<string[]> {
  const { root = "/" } = devices;
  // A map, and a disk of DRBD, has the kernel's name behind a link.
  return layerOf(devices).deviceUsers(root, basename(await realpath(join(root, device))));
}

function used(users: readonly string[]): { keep?: string } {
  return users.length > 0 ? { keep: `it is in use (${users.join(", ")})` } : {};
}

function refOf({ names }: Storage, link: string): VolumeRef | undefined {
  try {
    return names.parse(link);
  } catch (error) {
    if (codeOf(error) === "invalid") return undefined;
    throw error;
  }
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (error: unknown) => {
      if (codeOf(error) === "absent") return false;
      throw error;
    },
  );
}
