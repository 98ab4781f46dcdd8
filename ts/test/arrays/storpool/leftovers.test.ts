// SPDX-License-Identifier: AGPL-3.0-or-later
import test from "ava";
import { storpoolType } from "../../../src/arrays/storpool/type.js";
import { codeOf } from "../../../src/common/errors.js";
import { gidOf, Nodes, refOf } from "./nodes.js";

const real = Date.now;

/** As if so many hours had passed since. */
async function after<T>(hours: number, body: () => Promise<T>): Promise<T> {
  Date.now = () => real() + hours * 3_600_000;
  try {
    return await body();
  } finally {
    Date.now = real;
  }
}

async function start(t: Parameters<typeof Nodes.start>[0], hours = 2) {
  const nodes = await Nodes.start(t);
  const { upkeep } = nodes.drivers["node-a"];
  const look = () => after(hours, async () => (await upkeep.leftovers?.(nodes.ctx)) ?? []);
  const remove = (kind: string, name: string) =>
    after(hours, async () => upkeep.removeLeftover?.(nodes.ctx, { kind, name, why: "" }));
  return { nodes, look, remove };
}

test.serial(
  "a volume that stayed attached while its guest is elsewhere is one, and is detached from this node only",
  async (t) => {
    const { nodes, look, remove } = await start(t);
    const ref = await nodes.disk();
    await nodes.activate("node-a", ref);
    nodes.guest(100, { node: "node-a" });
    t.deepEqual(await look(), [], "its guest is here");
    nodes.guest(100, { node: "node-b", lock: "migrate" });
    t.deepEqual(await look(), [], "it is on the way");
    nodes.guest(100, { node: "node-b", ha: { state: "started", node: "node-a" } });
    t.deepEqual(await look(), [], "the HA manager brings it here");
    nodes.guest(100, { node: "node-b" });
    const [found] = await look();
    t.deepEqual(
      [found?.kind, found?.name, found?.vmid, found?.keep],
      ["attachment", gidOf(ref), 100, undefined],
    );
    nodes.open("node-a", ref);
    t.is(codeOf(await remove("attachment", gidOf(ref)).catch((error: unknown) => error)), "busy");
    t.deepEqual(nodes.holders(ref), ["node-a"]);
    nodes.open("node-a", ref, false);
    await remove("attachment", gidOf(ref));
    t.deepEqual(nodes.holders(ref), []);
    t.deepEqual(await look(), []);
    t.is((await nodes.drivers["node-a"].listVolumes(nodes.ctx)).length, 1, "the volume itself stays");
  },
);

test.serial("a disk whose guest no node has is in the making, and stays", async (t) => {
  const { nodes, look, remove } = await start(t);
  const ref = await nodes.disk();
  await nodes.activate("node-a", ref);
  t.deepEqual(await look(), []);
  t.is(codeOf(await remove("attachment", gidOf(ref)).catch((error: unknown) => error)), "refused");
  t.deepEqual(nodes.holders(ref), ["node-a"]);
});

test.serial("what other nodes have attached, and what is young, stays", async (t) => {
  const { nodes, look, remove } = await start(t);
  const ref = await nodes.disk();
  await nodes.activate("node-b", ref);
  await nodes.deactivate("node-a", ref);
  nodes.guest(100, { node: "node-b" });
  t.deepEqual(await look(), []);
  t.is(codeOf(await remove("attachment", gidOf(ref)).catch((error: unknown) => error)), "refused");
  const young = await start(t, 0);
  const other = await young.nodes.disk();
  await young.nodes.activate("node-a", other);
  young.nodes.guest(100, { node: "node-b" });
  t.regex((await young.look())[0]?.keep ?? "", /younger than an hour/);
  t.is(codeOf(await young.remove("attachment", gidOf(other)).catch((error: unknown) => error)), "refused");
});

test.serial("an image in the making that nobody works on is one", async (t) => {
  const { nodes, look, remove } = await start(t);
  const asked = refOf(0, storpoolType.naming.importName?.(refOf(0, "debian-12.iso"), 1) ?? "");
  const staged = await nodes.drivers["node-a"].createVolume(nodes.ctx, asked, 1n << 20n);
  await nodes.activate("node-b", staged);
  t.deepEqual(await look(), [], "another node writes it");
  await nodes.deactivate("node-b", staged);
  const [found] = await look();
  t.deepEqual([found?.kind, found?.name], ["import", gidOf(staged)]);
  await remove("import", gidOf(staged));
  t.deepEqual(await look(), []);
});
