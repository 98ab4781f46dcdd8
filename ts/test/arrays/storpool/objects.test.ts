// SPDX-License-Identifier: AGPL-3.0-or-later
import { readFileSync } from "node:fs";
import test from "ava";
import type { ObjectRecord } from "../../../src/arrays/storpool/encode.js";
import { encodeRecord } from "../../../src/arrays/storpool/encode.js";
import { tryParseName } from "../../../src/arrays/storpool/naming.js";
import { buildTags, ownership, type TagSpec } from "../../../src/arrays/storpool/tags.js";
import { gidOf, Nodes, refOf, storeid } from "./nodes.js";

type Tags = Record<string, string>;

/** What the vendor's plugin makes, a row for each of the published format, and objects that are damaged or odd. */
const vectors = JSON.parse(readFileSync("tests/vectors/storpool-names.json", "utf8")) as {
  tags: { title: string; tags: Tags; type: ObjectRecord["type"] }[];
  records: { title: string; record: ObjectRecord; name?: string }[];
};
const owner = { slug: "two", storeid };

/** Tags of the vectors as those of the cluster and storage under test. */
function moved(tags: Tags): Tags {
  const own = { ...tags };
  if (own["pve-loc"] === "cl1") own["pve-loc"] = owner.slug;
  if (own["pve"] === "sp-nvme") own["pve"] = owner.storeid;
  return own;
}

/** Puts an object on the array as it is, whatever a command would say to its tags. */
async function plant(n: Nodes, type: ObjectRecord["type"], tags: Tags, more: Partial<ObjectRecord> = {}) {
  const volume = await n.disk(9999, n.sim.state.objects.size);
  if (type === "snapshot") await n.drivers["node-a"].createSnapshot(n.ctx, volume, "planted");
  const planted = [...n.sim.state.objects.values()].at(-1);
  if (!planted || planted.kind !== type) throw new Error(`no ${type}`);
  const name = more.name?.startsWith("~") ? "" : (more.name ?? "");
  Object.assign(planted, { tags: moved(tags), name, deleted: more.deleted ?? false });
  if (type === "snapshot") {
    const origin = n.sim.state.volume(`~${gidOf(volume)}`);
    origin.parent = undefined;
    n.sim.state.remove(origin);
  }
  return planted;
}

/** The tags that count: an empty one is none. */
function set(tags: Readonly<Tags>): Tags {
  return Object.fromEntries(
    Object.entries(tags).filter(([key, value]) => value !== "" && !(key === "pve-base" && value === "0")),
  );
}

for (const { title, tags, type } of vectors.tags) {
  test(`made by the vendor's plugin: ${title} is found and attached`, async (t) => {
    const n = await Nodes.start(t);
    const { globalId } = await plant(n, type, tags);
    const encoded = encodeRecord({ type, gid: globalId, name: `~${globalId}`, tags: moved(tags) });
    if (!encoded.ok) throw new Error(encoded.reason);
    const { name, ref } = encoded;
    const volume = refOf("vmid" in ref ? ref.vmid : 0, name);
    const driver = n.drivers["node-a"];
    t.is((await driver.getVolume(n.ctx, volume)).size, 1n << 20n);
    if ("vmid" in ref) n.guest(ref.vmid, { node: "node-a" });
    await n.activate("node-a", volume);
    t.deepEqual(
      n.sim.state.attachments.map(({ object, rights }) => `${object.globalId} ${rights}`),
      [`${globalId} ${type === "volume" ? "rw" : "ro"}`],
    );
    await n.deactivate("node-a", volume);
    const listed = (await driver.listVolumes(n.ctx)).map((found) => found.ref.name);
    // Snapshots of disks are listed with their disk.
    const shown = ref.kind === "state" ? [`vm-${ref.vmid}-state-${ref.snap}.raw`] : [name];
    t.deepEqual(listed, ref.kind === "snap" ? [] : shown);
    t.true(await driver.deleteVolume(n.ctx, volume));
    t.is(n.log.filter((line) => /"warn"|warning/.test(line)).length, 0, n.log.join("\n"));
  });
}

test("damaged and foreign objects hide nothing, and each damaged one is warned of once", async (t) => {
  const n = await Nodes.start(t, { foreign: { loc: owner.slug, storage: storeid } });
  const good = await n.disk(100, 0);
  const expected = [good.name];
  const damaged: string[] = [];
  for (const { record, name } of vectors.records) {
    const { globalId } = await plant(n, record.type, record.tags, record);
    // A malformed global id and a name like another object's are nothing that the simulator can have.
    const sound = encodeRecord({ ...record, gid: globalId, name: record.name.replace(/^~.*/, "") });
    const shown = name?.replaceAll(record.gid, globalId) ?? (sound.ok ? sound.name : undefined);
    const kind = tryParseName(shown ?? "")?.kind;
    if (shown !== undefined && kind !== "snap") expected.push(shown);
    const hidden = record.deleted || record.name.startsWith("*");
    const ours = ownership(moved(record.tags), owner) === "ours";
    // What is tagged as a disk's snapshot is no volume, whatever else is wrong with it.
    if (shown === undefined && ours && !hidden && !record.tags["pve-snap-v"]) damaged.push(globalId);
  }
  const driver = n.drivers["node-a"];
  const list = async () => (await driver.listVolumes(n.ctx)).map(({ ref }) => ref.name).sort();
  const warned = () => n.log.filter((line) => line.includes("is not shown"));
  t.deepEqual(await list(), expected.sort());
  t.true(damaged.length > 20);
  for (const gid of damaged) t.is(warned().filter((line) => line.includes(`"${gid}"`)).length, 1, gid);
  const count = warned().length;
  await list();
  t.is(warned().length, count, "once is enough");
});

test("what is made here has exactly the tags of the published format", async (t) => {
  const n = await Nodes.start(t);
  const driver = n.drivers["node-a"];
  const has = (gid: string) => {
    const object = [...n.sim.state.objects.values()].find(
      ({ globalId, deleted }) => !deleted && globalId === gid,
    );
    return set(object?.tags ?? {});
  };
  const is = (gid: string, spec: TagSpec) => t.deepEqual(has(gid), buildTags(owner, spec), spec.kind);
  const disk = await n.disk(100, 0);
  is(gidOf(disk), { kind: "disk", vmid: 100, disk: 0 });
  const state = await driver.createVolume(n.ctx, refOf(100, "vm-100-state-Before_"), 1n << 20n);
  is(gidOf(state), { kind: "state", vmid: 100, snap: "Before_" });
  await driver.createVolume(n.ctx, refOf(100, "vm-100-cloudinit"), 1n << 20n);
  const cloudinit = [...n.sim.state.objects.values()].find(({ tags }) => tags["pve-disk"] === "cloudinit");
  is(cloudinit?.globalId ?? "", { kind: "cloudinit", vmid: 100 });
  await driver.createSnapshot(n.ctx, disk, "s1");
  const [snapshot] = await driver.listSnapshots(n.ctx, disk);
  is(snapshot?.id ?? "", { kind: "snap", vmid: 100, disk: 0, snap: "s1", parentGid: gidOf(disk) });
  const clone = await driver.cloneVolume(n.ctx, disk, "s1", refOf(101, "vm-101-disk-0"));
  is(gidOf(clone), { kind: "disk", vmid: 101, disk: 0 });
  const base = await driver.makeBase(n.ctx, clone, refOf(101, "base-101-disk-0"));
  is(gidOf(base), { kind: "base", vmid: 101, disk: 0 });
  const linked = await driver.cloneVolume(n.ctx, base, undefined, refOf(102, "vm-102-disk-0"));
  is(gidOf(linked), { kind: "disk", vmid: 102, disk: 0 });
  const renamed = await driver.renameVolume(n.ctx, linked, refOf(103, "vm-103-disk-4"));
  is(gidOf(renamed), { kind: "disk", vmid: 103, disk: 4 });
});
