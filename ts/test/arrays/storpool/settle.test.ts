// SPDX-License-Identifier: AGPL-3.0-or-later
import test, { type ExecutionContext } from "ava";
import { makeGroupSnapshot, makeSnapshot, makeVolume } from "../../../src/arrays/storpool/creation.js";
import { LostReply } from "../../../src/common/http/lost.js";
import { data, row, type Seen, type Step, serve, text } from "./fake.js";
import { Nodes, refOf } from "./nodes.js";

const gid = "nzkr.b.1f";
const page = text(404, "<html>not found");

/** A server that answers by request; what is not listed gets a page that cannot be read. */
function byRequest(answers: Readonly<Record<string, unknown>>): Step {
  return (reply, request: Seen) => {
    const name = request.path.split("/")[0] ?? "";
    (Object.hasOwn(answers, name) ? data(answers[name]) : page)(reply, request);
  };
}

const attached = (client: number, rights = "rw") => ({ volume: `~${gid}`, globalId: gid, client, rights });
const status = (name: string, free: number) => ({ name, stored: { capacity: 1 << 20, free } });

test("an object is absent when the whole list lacks it, and found when it is there", async (t) => {
  const lists = { VolumesList: [row("a.b.c"), row(gid)], SnapshotsList: [row("a.b.c")] };
  const { client, ctx } = await serve(t, [byRequest(lists)]);
  t.like(await client.volume(ctx, gid), { gid, type: "volume", size: 10737418240n });
  await t.throwsAsync(client.snapshot(ctx, gid), { code: "absent" });
});

for (const [what, list] of Object.entries({
  "cannot be read": undefined,
  "is no list": {},
  "has a row without id": [row("a.b.c"), { size: 1 }],
  "has a row that is nothing": [null],
  "has a damaged row of that id": [row(gid, { size: "-" })],
})) {
  test(`nothing is absent, deleted or made by a list that ${what}`, async (t) => {
    const lists = list === undefined ? {} : { VolumesList: list, SnapshotsList: list };
    const { client, ctx } = await serve(t, [byRequest({ ...lists, AttachmentsList: [] })]);
    for (const call of [
      () => client.volume(ctx, gid),
      () => client.snapshot(ctx, gid),
      () => client.deleteVolume(ctx, gid),
      () => client.deleteSnapshot(ctx, gid),
      () => client.freeze(ctx, gid),
      () => client.updateVolume(ctx, gid, { size: 512n }),
      () => client.revert(ctx, gid, "a.b.c"),
      () => client.reassignWait(ctx, [{ volume: gid, rw: [11] }], 0),
    ]) {
      await t.throwsAsync(call, { code: "unreachable" });
    }
  });
}

test("a snapshot that is marked as deleted is not there", async (t) => {
  const lists = { SnapshotsList: [row(gid, { name: `*~${gid}`, deleted: true })] };
  const { client, ctx } = await serve(t, [byRequest(lists)]);
  await t.throwsAsync(client.snapshot(ctx, gid), { code: "absent" });
  t.true(await client.deleteSnapshot(ctx, gid));
});

test("a template is absent when the capacities of all lack it", async (t) => {
  const { client, ctx } = await serve(t, [byRequest({ VolumeTemplatesStatus: [status("nvme", 1)] })]);
  t.deepEqual(await client.describeTemplate(ctx, "nvme"), { name: "nvme" });
  const thrown = await t.throwsAsync(client.describeTemplate(ctx, "hdd"), { code: "absent" });
  t.regex(thrown?.message ?? "", /'hdd'.*correct/);
});

test("what is to vanish has done so when the list lacks it, is busy while attached, else unknown", async (t) => {
  const empty = await serve(t, [byRequest({ VolumesList: [] })]);
  t.true(await empty.client.deleteVolume(empty.ctx, gid));
  t.is(empty.seen.filter(({ method }) => method === "POST").length, 1, "not sent again");
  const there = { VolumesList: [row(gid)] };
  const used = await serve(t, [byRequest({ ...there, AttachmentsList: [attached(12)] })]);
  const busy = await t.throwsAsync(used.client.deleteVolume(used.ctx, gid), { code: "busy" });
  t.like(busy, { afterLost: true }, "it may still be carried out");
  const idle = await serve(t, [byRequest({ ...there, AttachmentsList: [] })]);
  await t.throwsAsync(idle.client.deleteVolume(idle.ctx, gid), { instanceOf: LostReply });
});

test("an update has been made when the object shows it", async (t) => {
  const shown = row(gid, { size: 1024, tags: { a: "1" }, templateName: "nvme" });
  const { client, ctx } = await serve(t, [
    byRequest({ VolumesList: [shown], VolumeTemplatesStatus: [status("nvme", 4096)] }),
  ]);
  await client.updateVolume(ctx, gid, { size: 1024n, tags: { a: "1", b: "" } });
  await t.throwsAsync(client.updateVolume(ctx, gid, { size: 2048n }), { code: "unreachable" });
  await t.throwsAsync(client.updateVolume(ctx, gid, { tags: { a: "2" } }), { code: "unreachable" });
  await t.throwsAsync(client.updateVolume(ctx, gid, { size: 8192n }), { code: "no-space", message: /4096/ });
  await t.throwsAsync(client.updateVolume(ctx, "a.b.c", { size: 8192n }), { code: "absent" });
});

test("that a volume was rolled back is never said without an answer", async (t) => {
  const lists = {
    VolumesList: [row(gid, { parentName: "~a.b.c" })],
    SnapshotsList: [row("a.b.c", { onVolume: `~${gid}` })],
  };
  const idle = await serve(t, [byRequest({ ...lists, AttachmentsList: [] })]);
  await t.throwsAsync(idle.client.revert(idle.ctx, gid, "a.b.c"), { code: "unreachable" });
  await t.throwsAsync(idle.client.revert(idle.ctx, gid, "a.b.d"), { code: "absent" });
  const used = await serve(t, [byRequest({ ...lists, AttachmentsList: [attached(11)] })]);
  await t.throwsAsync(used.client.revert(used.ctx, gid, "a.b.c"), { code: "busy" });
});

/** What becomes of one change of attachments that gets no readable answer. */
async function reassign(
  t: ExecutionContext,
  entry: { rw?: number[]; detach?: number[]; force?: boolean },
  answers: Record<string, unknown>,
  attachTimeout = 5,
): Promise<string> {
  const services = { clients: { 11: { status: "running" }, 12: { status: "running" } } };
  const defaults = { VolumesList: [row(gid)], ServicesList: services };
  const { client, ctx } = await serve(t, [byRequest({ ...defaults, ...answers })]);
  return client.reassignWait(ctx, [{ volume: gid, ...entry }], attachTimeout).then(
    () => "done",
    (error: { code: string; open?: boolean }) => (error.open ? `${error.code}, open` : error.code),
  );
}

test("attachments are done when the list shows them and each client has its configuration", async (t) => {
  const ok = [{ id: 11, configStatus: "ok" }];
  const AttachmentsList = [attached(11)];
  t.is(await reassign(t, { rw: [11] }, { AttachmentsList, ClientConfigWait: ok }), "done");
  t.is(await reassign(t, { rw: [11], detach: [12] }, { AttachmentsList, ClientConfigWait: ok }), "done");
  const down = [{ id: 12, configStatus: "down" }];
  t.is(await reassign(t, { detach: [12] }, { AttachmentsList, ClientConfigWait: down }), "unreachable");
  t.is(await reassign(t, { detach: [12] }, { AttachmentsList }), "unreachable", "nobody tells of the client");
  t.is(await reassign(t, { detach: [12] }, { AttachmentsList }, 0), "done", "and nobody is waited for");
});

test("what stays attached is busy unless it was to be taken by force", async (t) => {
  const AttachmentsList = [attached(11)];
  t.is(await reassign(t, { detach: [11] }, { AttachmentsList }), "busy, open");
  t.is(await reassign(t, { rw: [12], detach: [11] }, { AttachmentsList }), "busy, open");
  t.is(await reassign(t, { detach: [11], force: true }, { AttachmentsList }), "unreachable");
});

test("what could not be attached is absent, refused for an unknown client, or unknown", async (t) => {
  const nothing = { AttachmentsList: [] };
  t.is(await reassign(t, { rw: [11] }, nothing), "unreachable");
  t.is(await reassign(t, { rw: [11] }, { AttachmentsList: [attached(11, "ro")] }), "unreachable");
  t.is(await reassign(t, { rw: [11] }, { ...nothing, VolumesList: [] }), "absent");
  t.is(await reassign(t, { rw: [13] }, nothing), "refused");
  t.is(await reassign(t, { rw: [13] }, { ...nothing, ServicesList: {} }), "unreachable");
  t.is(await reassign(t, { rw: [11] }, {}), "unreachable");
});

test("errors that come as text: each verb says what the lists prove, and changes nothing", async (t) => {
  const n = await Nodes.start(t, { behaviour: { errorTransport: "status-text" } });
  const driver = n.drivers["node-a"];
  const [disk, gone] = [await n.disk(), await n.disk(100, 1)];
  await driver.deleteVolume(n.ctx, gone);
  n.guest(100, { node: "node-a" });
  await n.activate("node-a", disk);
  n.open("node-a", disk);
  const before = [...n.sim.state.objects.keys()];
  const base = refOf(100, "base-100-disk-0");
  const calls: Record<string, [string, () => Promise<unknown>]> = {
    "look up": ["absent", () => driver.getVolume(n.ctx, gone)],
    attach: ["absent", () => n.activate("node-a", gone)],
    delete: ["busy", () => driver.deleteVolume(n.ctx, disk)],
    "make a base": ["busy", () => driver.makeBase(n.ctx, disk, base)],
    create: ["no-space", () => driver.createVolume(n.ctx, refOf(100, "vm-100-disk-2"), 1n << 42n)],
    grow: ["no-space", () => driver.resizeVolume(n.ctx, disk, 1n << 42n)],
  };
  for (const [what, [code, call]] of Object.entries(calls)) await t.throwsAsync(call, { code }, what);
  t.deepEqual([...n.sim.state.objects.keys()], before);
  t.deepEqual(n.holders(disk), ["node-a"]);
});

test("errors that come as text while the lists fail too claim nothing", async (t) => {
  const n = await Nodes.start(t, { behaviour: { errorTransport: "status-text" } });
  const driver = n.drivers["node-a"];
  const gone = await n.disk();
  await driver.deleteVolume(n.ctx, gone);
  n.sim.inject({ kind: "bad-gateway", on: "VolumesList", count: 1000 });
  await t.throwsAsync(driver.getVolume(n.ctx, gone), { code: "unreachable" });
  await t.throwsAsync(driver.deleteVolume(n.ctx, gone), { code: "unreachable" });
  n.sim.faults.clear();
  t.false(await driver.deleteVolume(n.ctx, gone));
});

test("errors that come as text: what fails for no visible reason is tried three times, no template is absent", async (t) => {
  const n = await Nodes.start(t, { behaviour: { errorTransport: "status-text" } });
  const driver = n.drivers["node-a"];
  const create = () => driver.createVolume(n.ctx, refOf(100, "vm-100-disk-0"), 512n);
  n.sim.inject({ kind: "error", on: "VolumeCreate", count: 3 });
  await t.throwsAsync(create(), { code: "unreachable", message: /3 attempts/ });
  t.is(n.sim.journal.of("VolumeCreate").length, 3);
  n.sim.state.templates.clear();
  await t.throwsAsync(create(), { code: "absent", message: /template/ });
  await t.throwsAsync(driver.check(n.ctx), { code: "absent", message: /template/ });
});

test("what was to be made of something that is not there is absent, after one attempt", async (t) => {
  const lists = { VolumesList: [], SnapshotsList: [], VolumeTemplatesStatus: [status("nvme", 1)] };
  const { client, ctx, seen } = await serve(t, [byRequest(lists)]);
  const looks = { looksMs: [0] };
  const template = "nvme";
  await t.throwsAsync(makeVolume(client, ctx, { parent: gid, template }, {}, looks), { code: "absent" });
  await t.throwsAsync(makeVolume(client, ctx, { baseOn: gid }, {}, looks), { code: "absent" });
  await t.throwsAsync(makeSnapshot(client, ctx, gid, {}, looks), { code: "absent" });
  const group = makeGroupSnapshot(client, ctx, [{ gid, tags: {} }], looks);
  await t.throwsAsync(group, { code: "absent" });
  t.is(seen.filter(({ method }) => method === "POST").length, 4);
});

test("snapshots together are unsupported when all volumes are there and none was made", async (t) => {
  const { client, ctx, seen } = await serve(t, [byRequest({ VolumesList: [row(gid)], SnapshotsList: [] })]);
  const group = makeGroupSnapshot(client, ctx, [{ gid, tags: {} }], { looksMs: [0] });
  await t.throwsAsync(group, { code: "unsupported" });
  t.is(seen.filter(({ method }) => method === "POST").length, 1);
});

test("requests that are answered well cost nothing more", async (t) => {
  const n = await Nodes.start(t);
  const driver = n.drivers["node-a"];
  n.guest(100, { node: "node-a" });
  const disk = await n.disk();
  await n.activate("node-a", disk);
  await n.deactivate("node-a", disk);
  n.sim.journal.clear();
  await driver.check(n.ctx);
  await driver.getVolume(n.ctx, disk);
  await driver.deleteVolume(n.ctx, disk);
  t.deepEqual(
    n.sim.journal.entries.map(({ request }) => request),
    [
      "VolumeTemplateDescribe",
      "Volume",
      "Volume",
      "AttachmentsList",
      "AttachmentsList",
      "SnapshotsList",
      "VolumeDelete",
    ],
  );
});
