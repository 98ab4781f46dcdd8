// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Context } from "../../common/context.js";
import { codeOf, fail } from "../../common/errors.js";
import { error, type Finding, findingOf, ok, warning } from "../../common/finding.js";
import type { Leftover, NodeNeeds } from "../contract.js";
import { detach } from "./attach.js";
import { type Found, recognise, recogniseStaged } from "./objects.js";
import type { Services, StorpoolObject } from "./schemas.js";
import type { Session } from "./session.js";

/** What is younger may be in the making, or on its way to another node; in seconds. */
const settledAfter = 3_600;

export function needs({ config }: Session): NodeNeeds {
  const host = config.host.includes(":") ? `[${config.host}]` : config.host;
  return {
    api: [`http://${host}:${config.port}`],
    disks: {
      examples: ["/dev/sp-0", "/dev/storpool-byid/a.b.c", "/dev/storpool/vm"],
      reject: ["r|^/dev/sp-|", "r|^/dev/storpool|"],
    },
  };
}

export async function diagnose(session: Session, ctx: Context): Promise<Finding[]> {
  const { client, config, section } = session;
  let services: Services;
  try {
    services = await client.services(ctx);
  } catch (thrown) {
    return [findingOf(codeOf(thrown) === "auth" ? "credentials" : "array", thrown)];
  }
  const found = [ok("credentials", "the cluster accepts the token"), cluster(services)];
  const state = services.clients.get(config.ourId);
  if (state === "running") found.push(ok("client", `client ${config.ourId} runs`));
  else if (state === undefined)
    found.push(
      error(
        "client",
        `the cluster knows no client ${config.ourId}, which is this node's SP_OURID`,
        "correct SP_OURID in /etc/storpool.conf, or start storpool_block once",
      ),
    );
  else
    found.push(
      error(
        "client",
        `this node's client ${config.ourId} is ${state}: no volume can be attached`,
        "systemctl start storpool_block.service, and look why it ended",
      ),
    );
  await client.describeTemplate(ctx, section.template).then(
    () => found.push(ok("template", `'${section.template}' is there`)),
    (thrown: unknown) => found.push(findingOf("template", thrown)),
  );
  return found;
}

function cluster({ clusterStatus }: Services): Finding {
  if (clusterStatus === "running" || clusterStatus === "unknown") return ok("array", "the cluster runs");
  return warning("array", `the cluster is ${clusterStatus}`, "look at storpool service list");
}

/** Volumes that stayed attached to this node, and imports of images that have ended without an end. */
export async function leftovers(session: Session, ctx: Context): Promise<Leftover[]> {
  const { client, config, owner } = session;
  const { volumes, snapshots } = await client.listAll(
    ctx,
    (tags) => tags["pve-loc"] === owner.slug && tags["pve"] === owner.storeid,
  );
  const attachments = await client.attachments(ctx);
  const found: Leftover[] = [];
  for (const object of [...volumes, ...snapshots]) {
    const holders = attachments.filter(({ gid }) => gid === object.gid).map((row) => row.client);
    const known = recognise(session, object);
    if (known && holders.includes(config.ourId)) {
      const why = await attachedInVain(session, known);
      if (why !== undefined)
        found.push({ kind: "attachment", name: object.gid, ...guestOf(known), why, ...young(object) });
    } else if (recogniseStaged(session, object) && holders.length === 0) {
      const why = "an image in the making that no node works on";
      found.push({ kind: "import", name: object.gid, why, ...young(object) });
    }
  }
  return found;
}

export async function removeLeftover(
  session: Session,
  ctx: Context,
  { kind, name }: Leftover,
): Promise<void> {
  const again = (await leftovers(session, ctx)).find((one) => one.kind === kind && one.name === name);
  if (!again || again.keep !== undefined)
    throw fail(
      "refused",
      `remove ${kind} '${name}': it is no leftover any more; look at pve-blockio sweep again`,
    );
  const { client } = session;
  const { volumes, snapshots } = await client.listAll(ctx);
  const object = [...volumes, ...snapshots].find(({ gid }) => gid === name);
  if (!object) return;
  // StorPool refuses to detach what is open.
  if (kind === "attachment") await detach(session, ctx, object, { times: 1, pauseMs: 0 });
  else if (object.type === "volume") await client.deleteVolume(ctx, name);
  else await client.deleteSnapshot(ctx, name);
}

/** Why nobody on this node needs a volume; undefined when somebody may. */
async function attachedInVain(
  { cluster: pve, node, config }: Session,
  found: Found,
): Promise<string | undefined> {
  // With the switch for Veeam volumes stay attached, and images have no guest that could be asked.
  if (config.veeamCompat || !("vmid" in found.ref)) return undefined;
  const { vmid } = found.ref;
  const guest = await pve.guest(vmid);
  // In the making: a disk comes before its guest's configuration.
  if (!guest) return undefined;
  if (guest.node === node || guest.lock !== undefined || guest.ha?.node === node) return undefined;
  return `attached to this node, and guest ${vmid} is on '${guest.node}'`;
}

function guestOf({ ref }: Found): { vmid?: number } {
  return "vmid" in ref ? { vmid: ref.vmid } : {};
}

function young({ ctime }: StorpoolObject): { keep?: string } {
  if (ctime === 0) return { keep: "StorPool does not tell its age" };
  if (Date.now() / 1000 - ctime < settledAfter)
    return { keep: "it is younger than an hour: it may be at work" };
  return {};
}
