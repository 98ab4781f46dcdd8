// SPDX-License-Identifier: AGPL-3.0-or-later
import test from "ava";
import { cut, data, error, row, serve, text, token } from "./fake.js";

const gid = "nzkr.b.1f";
const snapshotGid = "nzkr.b.31";

test("queries are GET without body, commands POST with one, both with the token", async (t) => {
  const { client, ctx, seen } = await serve(t, [data({ name: "a" }), data({ ok: true })]);
  await client.describeTemplate(ctx, "nvme");
  await client.deleteVolume(ctx, gid);
  const authorization = `Storpool v1:${token}`;
  t.deepEqual(seen, [
    { method: "GET", path: "VolumeTemplateDescribe/nvme", authorization, body: undefined },
    { method: "POST", path: `VolumeDelete/~${gid}`, authorization, body: {} },
  ]);
});

test("every command sends what StorPool expects", async (t) => {
  const { client, ctx, seen } = await serve(t, [data({ ok: true })]);
  await client.updateVolume(ctx, gid, { size: 1024n, tags: { a: "" }, template: "hdd" });
  await client.updateSnapshot(ctx, snapshotGid, { tags: { a: "1" } });
  await client.deleteSnapshot(ctx, snapshotGid);
  await client.revert(ctx, gid, snapshotGid);
  await client.freeze(ctx, gid);
  await client.rebase(ctx, "volume", gid, undefined);
  await client.rebase(ctx, "snapshot", snapshotGid, gid);
  const entries = [
    { volume: gid, rw: [11], detach: "all", force: true },
    { snapshot: snapshotGid, ro: [11] },
  ] as const;
  await client.reassignWait(ctx, entries, 30);
  t.deepEqual(
    seen.map(({ path, body }) => [path, body]),
    [
      [`VolumeUpdate/~${gid}`, { size: 1024, tags: { a: "" }, template: "hdd" }],
      [`SnapshotUpdate/~${snapshotGid}`, { tags: { a: "1" } }],
      [`SnapshotDelete/~${snapshotGid}`, {}],
      [`VolumeRevert/~${gid}`, { toSnapshot: `~${snapshotGid}`, revertSize: true }],
      [`VolumeFreeze/~${gid}`, {}],
      [`VolumeRebase/~${gid}`, {}],
      [`SnapshotRebase/~${snapshotGid}`, { parentName: `~${gid}` }],
      [
        "VolumesReassignWait",
        {
          reassign: [
            { volume: `~${gid}`, rw: [11], detach: "all", force: true },
            { snapshot: `~${snapshotGid}`, ro: [11] },
          ],
          attachTimeout: 30,
        },
      ],
    ],
  );
});

test("volumes are created empty, from a snapshot or as a copy, without a name", async (t) => {
  const { client, ctx, seen } = await serve(t, [
    data({ ok: true, name: `~${gid}`, globalId: gid, autoName: "x" }),
  ]);
  const tags = { virt: "pve" };
  t.is(await client.createVolume(ctx, { template: "nvme", size: 512n }, tags), gid);
  await client.createVolume(ctx, { parent: snapshotGid }, tags);
  await client.createVolume(ctx, { baseOn: gid, size: 1024n }, tags);
  t.deepEqual(
    seen.map(({ body }) => body),
    [
      { template: "nvme", size: 512, tags },
      { parent: `~${snapshotGid}`, tags },
      { baseOn: `~${gid}`, size: 1024, tags },
    ],
  );
});

test("snapshots give their global ids, alone and in a group", async (t) => {
  const made = { volume: "x", volumeGlobalId: gid, snapshot: "y", snapshotGlobalId: snapshotGid };
  const { client, ctx, seen } = await serve(t, [
    data({ ok: true, snapshotGlobalId: snapshotGid }),
    data({ ok: true, snapshots: [made] }),
  ]);
  t.is(await client.snapshotVolume(ctx, gid, { a: "1" }), snapshotGid);
  const group = await client.groupSnapshot(ctx, [{ gid, tags: { a: "1" } }]);
  t.deepEqual(group, [{ volumeGid: gid, gid: snapshotGid }]);
  t.deepEqual(seen[1]?.body, { volumes: [{ volume: `~${gid}`, tags: { a: "1" } }] });
});

test("sizes that StorPool cannot have are refused before they are sent", async (t) => {
  const { client, ctx, seen } = await serve(t, [data({ ok: true })]);
  for (const size of [0n, -512n, 513n, 2n ** 60n]) {
    await t.throwsAsync(client.createVolume(ctx, { template: "a", size }, {}), { code: "invalid" });
    await t.throwsAsync(client.updateVolume(ctx, gid, { size }), { code: "invalid" });
  }
  t.is(seen.length, 0);
});

test("nothing but a global id gets into a path", async (t) => {
  const { client, ctx, seen } = await serve(t, [data([row(gid)])]);
  for (const bad of ["", "web1", "a.b.c/../x", "~a.b.c", "A.b.c"]) {
    await t.throwsAsync(async () => client.volume(ctx, bad), { code: "internal" });
    await t.throwsAsync(async () => client.deleteVolume(ctx, bad), { code: "internal" });
  }
  t.is(seen.length, 0);
  await client.describeTemplate(ctx, "a/b?c").catch(() => {});
  t.is(seen[0]?.path, "VolumeTemplateDescribe/a%2Fb%3Fc");
});

test("a volume is read with unset members, unknown ones, and without a snapshot flag", async (t) => {
  const full = row(gid, { parentName: `~${snapshotGid}`, storedSize: 4096, unheardOf: { a: 1 } });
  const { client, ctx } = await serve(t, [
    data([full]),
    data([row(gid, { storedSize: "-", tags: undefined })]),
  ]);
  t.deepEqual(await client.volume(ctx, gid), {
    type: "volume",
    gid,
    name: `~${gid}`,
    parentName: `~${snapshotGid}`,
    parentGid: snapshotGid,
    template: "nvme",
    size: 10737418240n,
    stored: 4096n,
    ctime: 1700000100,
    deleted: false,
    transient: false,
    tags: { virt: "pve" },
  });
  const bare = await client.snapshot(ctx, gid);
  t.like(bare, { type: "snapshot", tags: {} });
  t.false("stored" in bare || "parentGid" in bare);
});

test("an answer about another object, or about several, is not taken", async (t) => {
  const { client, ctx } = await serve(t, [data([row("a.b.c")]), data([]), data([row(gid), row(gid)])]);
  for (let i = 0; i < 3; i++) await t.throwsAsync(client.volume(ctx, gid), { code: "internal" });
});

test("damaged rows of a list are left out with a warning, damaged tags make no tags", async (t) => {
  const rows = [
    row(gid),
    null,
    row("x"),
    row("a.b.c", { size: "-" }),
    row("a.b.d", { tags: { a: 1, b: "2" } }),
  ];
  const { client, ctx, lines } = await serve(t, [data([...rows, row("a.b.e", { tags: null })])]);
  const found = await client.volumes(ctx);
  t.deepEqual(
    found.map((volume) => [volume.gid, volume.tags]),
    [
      [gid, { virt: "pve" }],
      ["a.b.d", { b: "2" }],
      ["a.b.e", {}],
    ],
  );
  t.is(lines.filter((line) => line.includes("a row is left out")).length, 3);
});

test("a damaged row of the attachments fails the list", async (t) => {
  const good = { volume: `~${gid}`, globalId: gid, snapshot: false, client: 11, rights: "rw", pos: 3 };
  const { client, ctx } = await serve(t, [
    data([good, { volume: "web", client: 2, rights: "ro" }, { volume: "~a.b.c", client: 3, rights: "ro" }]),
    data([good, { volume: "~a.b.c", rights: "rw" }]),
  ]);
  t.deepEqual(await client.attachments(ctx), [
    { gid, name: `~${gid}`, client: 11, rights: "rw" },
    { name: "web", client: 2, rights: "ro" },
    { gid: "a.b.c", name: "~a.b.c", client: 3, rights: "ro" },
  ]);
  await t.throwsAsync(client.attachments(ctx), { code: "internal" });
});

test("services, capacities and the client's state", async (t) => {
  const stored = { capacity: 3000, free: 2100, placeAll: {} };
  const { client, ctx } = await serve(t, [
    data({
      clusterStatus: "running",
      clients: { 11: { id: 11, status: "running" }, 12: { status: "down" } },
    }),
    data([
      { name: "nvme", stored },
      { name: "odd", stored: "-" },
    ]),
    data([{ id: 11, configStatus: "ok" }]),
    data({ id: 11, configStatus: "updating" }),
  ]);
  const services = await client.services(ctx);
  t.is(services.clusterStatus, "running");
  t.deepEqual(
    [...services.clients],
    [
      [11, "running"],
      [12, "down"],
    ],
  );
  t.deepEqual(await client.templatesStatus(ctx), [{ name: "nvme", capacity: 3000n, free: 2100n }]);
  t.is(await client.clientConfigWait(ctx, 11), "ok");
  t.is(await client.clientConfigWait(ctx, 11), "updating");
});

test("both lists come in one request", async (t) => {
  const { client, ctx, seen } = await serve(t, [
    data({ volumes: [row(gid)], snapshots: [row(snapshotGid)] }),
  ]);
  const all = await client.listAll(ctx);
  t.like(all.volumes[0], { gid, type: "volume" });
  t.like(all.snapshots[0], { gid: snapshotGid, type: "snapshot" });
  t.is(seen.length, 1);
});

const unknownRequests = {
  "an error": error("unknownCommand", "no such request"),
  "HTTP status 404": text(404, "<html>not found"),
};
for (const [how, step] of Object.entries(unknownRequests)) {
  test(`where one request for both lists is unknown (${how}), each is asked for, later at once`, async (t) => {
    const lists = [data([row(gid)]), data([row(snapshotGid)])];
    const { client, ctx, seen } = await serve(t, [step, ...lists, ...lists]);
    for (let i = 0; i < 2; i++) {
      const all = await client.listAll(ctx);
      t.like(all, { volumes: [{ gid }], snapshots: [{ gid: snapshotGid }] });
    }
    const both = ["VolumesList", "SnapshotsList"];
    t.deepEqual(
      seen.map(({ path }) => path),
      ["VolumesAndSnapshotsList", ...both, ...both],
    );
  });
}

test("snapshots are asked for when the common list has none", async (t) => {
  const { client, ctx } = await serve(t, [data({ volumes: [] }), data([row(snapshotGid)])]);
  t.like(await client.listAll(ctx), { volumes: [], snapshots: [{ gid: snapshotGid }] });
});

test("an array that does not answer is not asked for each list", async (t) => {
  const { client, ctx, seen } = await serve(t, [cut()]);
  await t.throwsAsync(client.listAll(ctx), { code: "unreachable" });
  t.true(seen.every(({ path }) => path === "VolumesAndSnapshotsList"));
});
