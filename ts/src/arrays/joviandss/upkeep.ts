// SPDX-License-Identifier: AGPL-3.0-or-later
import { networkInterfaces } from "node:os";
import type { Context } from "../../common/context.js";
import { codeOf, fail } from "../../common/errors.js";
import { error, type Finding, findingOf, ok, warning } from "../../common/finding.js";
import type { Leftover, NodeNeeds } from "../contract.js";
import { means } from "./answer.js";
import { othersAt } from "./guard.js";
import { parseSnapshotObject, parseVolumeObject } from "./names.js";
import { requireOwnPrefix } from "./neighbours.js";
import { allPortals, chosen } from "./portals.js";
import type { JoviandssSection } from "./schema.js";
import { ownId, type Session } from "./session.js";
import type { PoolState } from "./shapes.js";
import { dropExport } from "./unpublish.js";
import { removeIfEmpty } from "./withdraw.js";

/** What is younger may be in the making on another node, in seconds. */
const settledAfter = 3_600;
/** Further apart than this are no two clock faces, in seconds. */
const anyZone = 26 * 3_600;
/** At so many targets the sessions are looked through for this node's name; the answer is the same at each. */
const targetsAsked = 20;

export function needs(section: JoviandssSection): NodeNeeds {
  const origin = (address: string) => (address.includes(":") ? `[${address}]` : address);
  return {
    api: section.controlAddresses.map((address) => `https://${origin(address)}:${section.controlPort}`),
    iscsi: { portals: allPortals(section), multipath: section.multipath, vendors: ["SCST_BIO", "SCST_FIO"] },
    disks: section.multipath ? disksBelow("/dev/mapper/2") : disksBelow("/dev/disk/by-id/scsi-2"),
  };
}

/** The identity of a zvol is an EUI-64. LVM's patterns have no counts. */
function disksBelow(start: string): NonNullable<NodeNeeds["disks"]> {
  const reject = `r|^${start}${"[0-9a-f]".repeat(16)}(-part[0-9]+)?$|`;
  return { examples: [`${start}0123456789abcdef`], reject: [reject] };
}

/** The guest of a target that begins as this storage's do. */
export function ownerOfTarget({ targetPrefix }: JoviandssSection, iqn: string): number | undefined {
  const rest = iqn.startsWith(`${targetPrefix}:`) ? iqn.slice(targetPrefix.length + 1) : "";
  const vmid = /^vm-([1-9][0-9]{2,8})-(?:0|[1-9][0-9]{0,8})$/.exec(rest)?.[1];
  return vmid === undefined ? undefined : Number(vmid);
}

export async function diagnose(session: Session, ctx: Context): Promise<Finding[]> {
  const { client, section, storeid } = session;
  const found: Finding[] = [];
  if (session.inlinePassword)
    found.push(
      warning(
        "credentials",
        "user_password is in storage.cfg, where every user of PVE's API may read it",
        `pvesm set ${storeid} --user_password moves it`,
      ),
    );
  const chap = attempt("credentials", () => session.chap);
  if (chap) found.push(chap);
  await requireOwnPrefix(storeid, section.targetPrefix).catch((thrown: unknown) =>
    found.push(findingOf("target_prefix", thrown)),
  );
  let pool: PoolState;
  try {
    pool = await client.pool(ctx);
  } catch (thrown) {
    const check = { auth: "credentials", absent: "pool", refused: "certificate" }[codeOf(thrown) as string];
    return [...found, findingOf(check ?? "array", thrown)];
  }
  found.push(ok("credentials", `the array accepts user '${section.user}'`), health(pool));
  const vips = await client.vips(ctx, { probe: true });
  const { known, missing } = chosen(section, vips);
  if (missing.length > 0) {
    const text = `data_addresses ${missing.join(", ")} are no addresses of pool '${section.pool}'`;
    const there = vips.map(({ address }) => address).join(", ") || "none";
    const remedy = `the pool has ${there}: correct data_addresses, or give the pool these on the array`;
    found.push((known.length > 0 ? warning : error)("data_addresses", text, remedy));
  } else if (section.multipath && known.length === 1) {
    found.push(
      warning(
        "data_addresses",
        "multipath is on and there is one address: its loss stops the guests",
        "name a second address of the pool in data_addresses",
      ),
    );
  } else found.push(ok("data_addresses", known.map(({ address }) => address).join(", ")));
  found.push(await doubles(session, ctx));
  return found;
}

function attempt(check: string, body: () => unknown): Finding | undefined {
  try {
    body();
    return undefined;
  } catch (thrown) {
    return findingOf(check, thrown);
  }
}

function health({ name, health: state }: PoolState): Finding {
  if (/^(?:online|unknown)$/i.test(state)) return ok("pool", `'${name}' is there`);
  return warning("pool", `'${name}' is ${state.toLowerCase()}`, "look at the pool's disks on the array");
}

/** Somebody who logs in by this node's name from another machine would have its sessions taken for this node's. */
async function doubles(session: Session, ctx: Context): Promise<Finding> {
  const own = await session.initiator();
  if (own === undefined) return ok("initiator", "this node has no name to look for on the array");
  const { targets } = session.client;
  const ours = (await targets.list(ctx)).filter(
    ({ name }) => ownerOfTarget(session.section, name) !== undefined,
  );
  const here = new Set(
    Object.values(networkInterfaces()).flatMap((all = []) => all.map((one) => one.address)),
  );
  for (const { name } of ours.slice(0, targetsAsked)) {
    const sessions = await targets.sessions(ctx, name).catch((thrown: unknown) => {
      if (means(thrown, "absent")) return [];
      throw thrown;
    });
    const other = sessions.find(
      ({ initiator, ip }) => initiator.toLowerCase() === own && ip !== "" && !here.has(ip),
    );
    if (other)
      return error(
        "initiator",
        `'${own}' is also logged in at target ${name} from ${other.ip}, which is no address of this node`,
        "give each node a name of its own in /etc/iscsi/initiatorname.iscsi (iscsi-iname makes one), then restart iscsid without active volumes",
      );
  }
  return ok("initiator", "nobody else uses this node's name on the array");
}

/** Clones for reading snapshots that nobody reads, empty targets, snapshots for clones that are gone. */
export async function leftovers(session: Session, ctx: Context): Promise<Leftover[]> {
  const { volumes, targets, snapshots } = session.client;
  const all = await volumes.list(ctx);
  const found: Leftover[] = [];
  for (const { name, created } of all) {
    const vmid = guestOfExport(session, name);
    if (vmid === undefined) continue;
    const readers = await readersOf(session, ctx, name);
    if (readers > 0) continue;
    const why = "made for reading a snapshot, and nobody reads it";
    found.push({ kind: "export", name, vmid, why, ...young(created) });
  }
  for (const { name } of await targets.list(ctx)) {
    const vmid = ownerOfTarget(session.section, name);
    if (vmid === undefined) continue;
    const empty = (await targets.luns(ctx, name).catch(unlessAbsent)).length === 0;
    if (!empty || (await targets.sessions(ctx, name).catch(unlessAbsent)).length > 0) continue;
    found.push({ kind: "target", name, vmid, why: "has no volumes, and nobody is logged in" });
  }
  const there = new Set(all.map(({ name }) => name));
  for (const { volume, name } of await snapshots.listPool(ctx)) {
    const vmid = guestOfIntermediate(session, name);
    if (vmid === undefined || there.has(name)) continue;
    const [here] = (await snapshots.list(ctx, volume)).filter((one) => one.name === name);
    const why = `made for clone '${name}', which is gone`;
    found.push({
      kind: "snapshot",
      name: `${volume}@${name}`,
      vmid,
      why,
      ...young(here?.created, here?.shown),
    });
  }
  return found;
}

export async function removeLeftover(
  session: Session,
  ctx: Context,
  { kind, name, vmid = 0 }: Leftover,
): Promise<void> {
  const { volumes, snapshots, targets } = session.client;
  switch (kind) {
    case "export": {
      if ((await readersOf(session, ctx, name)) > 0) throw inUse(name);
      return dropExport(session, ctx, { object: name, vmid }, `remove '${name}'`);
    }
    case "target":
      if ((await othersAt(session, ctx, name)).length > 0) throw inUse(name);
      await removeIfEmpty(session, ctx, name);
      if (await targets.find(ctx, name)) throw inUse(name);
      return;
    case "snapshot": {
      const [volume = "", snapshot = ""] = name.split("@");
      if (await volumes.find(ctx, snapshot)) throw inUse(name);
      await snapshots.delete(ctx, volume, snapshot);
      return;
    }
    default:
      throw fail("unsupported", `remove '${name}': '${kind}' is no kind of leftover here; list them again`);
  }
}

function inUse(name: string) {
  return fail("busy", `remove '${name}': it came into use; look at pve-blockio sweep again`);
}

/** The guest of the volume whose snapshot a clone is for, if it is of this storage. */
function guestOfExport(session: Session, object: string): number | undefined {
  const parsed = parseVolumeObject(object);
  return parsed?.kind === "export" ? ownId(session, parsed.id)?.vmid : undefined;
}

/** The guest of the clone that a snapshot was made for, if it is of this storage. */
function guestOfIntermediate(session: Session, name: string): number | undefined {
  const parsed = parseSnapshotObject(name);
  return parsed?.kind === "intermediate" ? ownId(session, parsed.id)?.vmid : undefined;
}

/** Sessions of anybody at the targets of an object. A target that is not named counts as one. */
async function readersOf({ client: { targets } }: Session, ctx: Context, object: string): Promise<number> {
  let count = 0;
  for (const { target } of await targets.attachments(ctx, object))
    count += target === undefined ? 1 : (await targets.sessions(ctx, target).catch(unlessAbsent)).length;
  return count;
}

function unlessAbsent(thrown: unknown): [] {
  if (means(thrown, "absent")) return [];
  throw thrown;
}

/** Why what was made at `created`, in seconds since the epoch, is left alone; `shown` is that of the array's clock face. */
function young(created: number | undefined, shown?: number): { keep?: string } {
  if (created === undefined) {
    if (shown !== undefined && Date.now() / 1000 - shown > anyZone + settledAfter) return {};
    return {
      keep: shown === undefined ? "the array does not tell its age" : "it may be younger than an hour",
    };
  }
  if (Date.now() / 1000 - created < settledAfter)
    return { keep: "it is younger than an hour: another node may be at work on it" };
  return {};
}
