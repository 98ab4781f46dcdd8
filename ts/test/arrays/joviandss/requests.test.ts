// SPDX-License-Identifier: AGPL-3.0-or-later
import test, { type ExecutionContext } from "ava";
import type { VolumeRef } from "../../../src/arrays/contract.js";
import { dispatch } from "../../../src/bridge/dispatch.js";
import { requestSchema } from "../../../src/bridge/protocol.js";
import { mib, Nodes, refOf } from "./nodes.js";

const disk = "vm-100-disk-0";

/** Names of the requests that a method of PVE takes, in order; those that go out together are sorted. */
async function asked(n: Nodes, method: string, args: object): Promise<string[]> {
  n.sim.journal.clear();
  const request = requestSchema.parse({ id: 1, method, storeid: "jdss", scfg: n.section, args });
  await dispatch(n.services.a, request, {
    leases: new Map(),
    signal: new AbortController().signal,
    log: n.ctx.log,
  });
  return n.sim.journal.entries.map((entry) => entry.request);
}

/** What must be there before a method is counted. */
type Before = (n: Nodes, ref: VolumeRef) => Promise<unknown>;

const volume: Before = () => Promise.resolve();
const active: Before = (n, ref) => n.at("a").attach(n.ctx, ref, undefined);
const placed: Before = async (n, ref) => {
  await active(n, ref);
  await n.at("a").detach(n.ctx, ref, undefined);
};
const snapshot: Before = (n, ref) => n.at("a").driver.createSnapshot(n.ctx, ref, "s1");
const base: Before = (n, ref) => n.at("a").driver.makeBase(n.ctx, ref, refOf("base-100-disk-0"));

/** Each method with all that it asks the array, and nothing more. */
const steps: readonly (readonly [
  what: string,
  method: string,
  args: object,
  before: Before,
  requests: string,
])[] = [
  ["status", "status", {}, volume, "poolGet"],
  ["activation of the storage", "activate_storage", {}, volume, "poolGet vipList"],
  ["size info", "volume_size_info", { volname: disk }, volume, "volumeGet"],
  ["path", "path", { volname: disk, snap: null }, volume, "lunSearch volumeGet"],
  [
    "alloc",
    "alloc_image",
    { vmid: 101, format: "raw", name: "vm-101-disk-0", size: String(mib) },
    volume,
    "volumeGet volumeCreate",
  ],
  [
    "first activation",
    "activate_volume",
    { volname: disk, snap: null },
    volume,
    "lunSearch vipList volumeGet targetList targetCreate targetGet lunAttach lunGet",
  ],
  [
    "second volume of a guest",
    "activate_volume",
    { volname: "vm-100-disk-1", snap: null },
    async (n, ref) => {
      await n.disk("vm-100-disk-1");
      await active(n, ref);
    },
    "lunSearch vipList volumeGet targetList lunList lunAttach lunGet",
  ],
  [
    "next activation",
    "activate_volume",
    { volname: disk, snap: null },
    placed,
    "lunSearch vipList volumeGet targetGet",
  ],
  ["deactivation", "deactivate_volume", { volname: disk, snap: null }, active, "lunSearch volumeGet"],
  ["snapshot", "volume_snapshot", { volname: disk, snap: "s1" }, active, "snapshotGet snapshotCreate"],
  [
    "deletion of a snapshot",
    "volume_snapshot_delete",
    { volname: disk, snap: "s1" },
    snapshot,
    "lunSearch volumeGet volumeGet snapshotDelete",
  ],
  [
    "rollback",
    "volume_snapshot_rollback",
    { volname: disk, snap: "s1" },
    snapshot,
    "rollbackCheck lunSearch volumeGet lunSearch rollbackCheck rollback",
  ],
  [
    "online resize",
    "volume_resize",
    { volname: disk, size: String(2n * mib), running: true, snap: null },
    active,
    "volumeGet volumeUpdate volumeGet lunSearch volumeGet",
  ],
  [
    "template of a disk",
    "create_base",
    { volname: disk },
    volume,
    "lunSearch volumeGet snapshotList volumeGet volumeGet lunSearch targetList volumeUpdate volumeGet propertySet",
  ],
  [
    "linked clone",
    "clone_image",
    { volname: "base-100-disk-0", vmid: 101, snap: null },
    base,
    "volumeList volumeList volumeGet snapshotGet snapshotCreate cloneCreate",
  ],
  [
    "free, never activated",
    "free_image",
    { volname: disk },
    volume,
    "lunSearch volumeGet volumeGet lunSearch targetList volumeDelete volumeGet",
  ],
  [
    "free, the last of its target",
    "free_image",
    { volname: disk },
    placed,
    "lunSearch volumeGet volumeGet lunSearch sessionList lunDetach lunList sessionList targetDelete targetGet volumeDelete volumeGet",
  ],
];

/** Requests that go out together come in any order. */
function inGroups(requests: readonly string[]): string {
  return requests
    .join(" ")
    .replaceAll(
      /(?:\b(?:lunSearch|vipList|volumeGet)\b ?){2,3}/g,
      (group) => `${group.trim().split(" ").sort().join(" ")} `,
    )
    .trim();
}

for (const [what, method, args, before, requests] of steps) {
  test(`${what} takes no more requests than its steps`, async (t: ExecutionContext) => {
    const n = await Nodes.start(t);
    await before(n, await n.disk());
    t.is(inGroups(await asked(n, method, args)), inGroups(requests.split(" ")));
  });
}
