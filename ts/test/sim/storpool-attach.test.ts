// SPDX-License-Identifier: AGPL-3.0-or-later
import test from "ava";
import { eventually } from "../eventually.js";
import { mib, type Row, session } from "./storpool.js";

test("objects are attached, change rights and are detached; both forms of the request work", async (t) => {
  const s = await session(t);
  const volume = await s.volume();
  await s.post("VolumesReassignWait", [{ volume: `~${volume}`, ro: [11] }]);
  t.deepEqual(await s.get("AttachmentsList"), [
    { volume: `~${volume}`, globalId: volume, snapshot: false, client: 11, rights: "ro", pos: 0 },
  ]);
  await s.reassign({ volume: `~${volume}`, rw: [11] });
  t.is((await s.get("AttachmentsList"))[0]?.["rights"], "rw");
  t.is(s.sim.device(11, volume)?.rights, "rw");
  await s.reassign({ volume: `~${volume}`, detach: [11, 12] });
  await s.reassign({ volume: `~${volume}`, detach: "all" });
  t.deepEqual(await s.get("AttachmentsList"), []);
  t.is(s.sim.device(11, volume), undefined);
});

test("a takeover leaves one client, in one step", async (t) => {
  const s = await session(t, { behaviour: { attachmentTags: true } });
  const volume = await s.volume({ tags: { a: "1" } });
  await s.reassign({ volume: `~${volume}`, rw: [11] });
  await s.reassign({ volume: `~${volume}`, rw: [12] });
  t.deepEqual(s.sim.check(), [`${volume}: 2 clients may write`]);
  t.deepEqual(s.sim.check({ sharedRw: [volume] }), []);
  await s.reassign({ volume: `~${volume}`, rw: [12], detach: "all", force: true });
  const rows = await s.get("AttachmentsList");
  t.deepEqual(
    rows.map((row) => [row["client"], row["tags"]]),
    [[12, { a: "1" }]],
  );
  t.is(s.sim.device(11, volume), undefined);
  t.deepEqual(s.sim.check(), []);
});

test("VolumesReassignWait refuses what is wrong, and then changes nothing at all", async (t) => {
  const s = await session(t);
  const volume = await s.volume();
  const snapshot = await s.snapshot(volume);
  const good = { volume: `~${volume}`, rw: [11] };
  const wrong: [Row, RegExp][] = [
    [{ snapshot: `~${snapshot}`, rw: [11] }, /^invalidParam/],
    [{ volume: `~${volume}`, rw: [99] }, /^invalidParam: No such client registered/],
    [{ volume: `~${volume}`, detach: [99] }, /^invalidParam: No such client registered/],
    [{ volume: `~${volume}`, rw: ["11"] }, /^invalidParam/],
    [{ volume: `~${volume}`, rw: [12], ro: [12] }, /^invalidParam/],
    [{ volume: `~${volume}`, rw: [12], detach: [12] }, /^invalidParam/],
    [{ volume: `~${snapshot}`, ro: [11] }, /^objectDoesNotExist/],
    [{ snapshot: `~${volume}`, ro: [11] }, /^objectDoesNotExist/],
    [{ volume: `~${volume}`, snapshot: `~${snapshot}`, ro: [11] }, /^invalidParam/],
    [{ ro: [11] }, /^invalidParam/],
  ];
  for (const [entry, message] of wrong) {
    const attempt = s.post("VolumesReassignWait", { reassign: [good, entry] });
    await t.throwsAsync(attempt, { message }, JSON.stringify(entry));
  }
  t.deepEqual(await s.get("AttachmentsList"), []);
});

test("an open device is not taken without force, and its rights do not change", async (t) => {
  const s = await session(t);
  const volume = await s.volume();
  await s.reassign({ volume: `~${volume}`, rw: [11] });
  s.sim.setOpen(11, volume, true);
  const open = { message: /^busy: .* is open at / };
  await t.throwsAsync(s.reassign({ volume: `~${volume}`, detach: [11] }), open);
  await t.throwsAsync(s.reassign({ volume: `~${volume}`, ro: [11] }), open);
  await t.throwsAsync(s.reassign({ volume: `~${volume}`, rw: [12], detach: "all" }), open);
  s.sim.configure({ openIsInvalidParam: true });
  await t.throwsAsync(s.reassign({ volume: `~${volume}`, detach: [11] }), {
    message: /^invalidParam: .* is open at /,
  });
  t.is((await s.get("AttachmentsList")).length, 1);
  await s.reassign({ volume: `~${volume}`, rw: [12], detach: "all", force: true });
  t.deepEqual(
    (await s.get("AttachmentsList")).map((row) => row["client"]),
    [12],
  );
});

test("a client has 1024 positions, reused from below", async (t) => {
  const s = await session(t);
  const ids: string[] = [];
  for (let n = 0; n < 1025; n++) ids.push(await s.volume({ size: 512 }));
  const all = ids.map((id) => ({ volume: `~${id}`, rw: [11] }));
  await s.post("VolumesReassignWait", { reassign: all.slice(0, 1024) });
  await t.throwsAsync(s.reassign({ volume: `~${ids[1024]}`, rw: [11] }), {
    message: /^invalidParam: No free/,
  });
  await s.reassign({ volume: `~${ids[1024]}`, rw: [12] });
  await s.reassign({ volume: `~${ids[5]}`, detach: [11] });
  await s.reassign({ volume: `~${ids[1024]}`, rw: [11] });
  const row = (await s.get("AttachmentsList")).find(
    (at) => at["client"] === 11 && at["globalId"] === ids[1024],
  );
  t.is(row?.["pos"], 5);
  t.deepEqual(s.sim.check({ sharedRw: true }), []);
});

test("an attached object is not deleted, except by force", async (t) => {
  const s = await session(t);
  const volume = await s.volume();
  const snapshot = await s.snapshot(volume);
  await s.reassign({ volume: `~${volume}`, rw: [11] });
  await s.reassign({ snapshot: `~${snapshot}`, ro: [12] });
  await t.throwsAsync(s.post(`VolumeDelete/~${volume}`), { message: /^busy/ });
  await t.throwsAsync(s.post(`SnapshotDelete/~${snapshot}`), { message: /^busy/ });
  s.sim.setOpen(11, volume, true);
  await t.throwsAsync(s.post(`VolumeDelete/~${volume}`, { onAttached: "detach" }), { message: /is open at/ });
  await s.post(`VolumeDelete/~${volume}`, { onAttached: "detachForce" });
  t.is(s.sim.device(11, volume), undefined);
  t.deepEqual(await s.get("VolumesList"), []);
});

test("attachTimeout 0 succeeds at once without the client, which gets its device when it is back", async (t) => {
  const s = await session(t);
  const volume = await s.volume();
  await s.sim.setClient(12, "down");
  await s.reassign({ volume: `~${volume}`, rw: [12] }, 0);
  t.is(s.sim.device(12, volume), undefined);
  t.is((await s.get("AttachmentsList")).length, 1);
  await s.sim.setClient(12, "running");
  t.is(s.sim.device(12, volume)?.rights, "rw");
});

test("without attachTimeout a missing client is waited for, for ever", async (t) => {
  const s = await session(t);
  const volume = await s.volume();
  await s.sim.setClient(12, "down");
  let done = false;
  const attached = s.reassign({ volume: `~${volume}`, rw: [12] }).then(() => {
    done = true;
  });
  t.true(await eventually(() => s.sim.state.attachments.length === 1));
  await s.get("VolumesList");
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.false(done);
  await s.sim.setClient(12, "running");
  await attached;
  t.is(s.sim.device(12, volume)?.rights, "rw");
});

test("attachTimeout ends the wait, with an error or with success", async (t) => {
  const s = await session(t);
  const volume = await s.volume();
  await s.sim.setClient(12, "down");
  const start = performance.now();
  await t.throwsAsync(s.reassign({ volume: `~${volume}`, rw: [12] }, 0.1), {
    message: /^timeout: client 12/,
  });
  t.true(performance.now() - start >= 95);
  t.is((await s.get("AttachmentsList")).length, 1, "the configuration has it");
  s.sim.configure({ attachExpiry: "success" });
  await s.reassign({ volume: `~${volume}`, ro: [12] }, 0.05);
});

test("a takeover from a missing client waits for it, unless the switch says otherwise", async (t) => {
  const s = await session(t);
  const volume = await s.volume();
  await s.reassign({ volume: `~${volume}`, rw: [11] });
  await s.sim.setClient(11, "down");
  const entry = { volume: `~${volume}`, rw: [12], detach: "all", force: true };
  await t.throwsAsync(s.reassign(entry, 0.05), { message: /^timeout: client 11/ });
  await s.reassign({ volume: `~${volume}`, rw: [11] }, 0);
  s.sim.configure({ waitForDetached: false });
  await s.reassign(entry);
  t.is(s.sim.device(12, volume)?.rights, "rw");
});

test("a grown device has its new size only when the client has the configuration", async (t) => {
  const s = await session(t, { behaviour: { syncDelayMs: 60_000 } });
  const volume = await s.volume();
  await s.reassign({ volume: `~${volume}`, rw: [11] });
  await s.post(`VolumeUpdate/~${volume}`, { size: 2 * mib });
  t.is(s.sim.device(11, volume)?.size, mib);
  t.is((await s.get("ClientsConfigDump"))[0]?.["configStatus"], "updating");
  const [row] = await s.get("ClientConfigWait/11");
  t.like(row, { id: 11, configStatus: "ok", clientGeneration: s.sim.state.generation });
  t.is(s.sim.device(11, volume)?.size, 2 * mib);
  s.sim.configure({ syncDelayMs: 10, configWaitArray: false });
  await s.sim.setClient(12, "down");
  t.is((await s.get<Row>("ClientConfigWait/12"))["configStatus"], "down");
  await t.throwsAsync(s.get("ClientConfigWait/99"), { message: /^invalidParam/ });
});

test("a client takes the configuration by itself after a while; VolumesReassign does not wait", async (t) => {
  const s = await session(t, { behaviour: { syncDelayMs: 1_000 } });
  const volume = await s.volume();
  await s.post("VolumesReassign", [{ volume: `~${volume}`, rw: [11] }]);
  t.is(s.sim.device(11, volume), undefined);
  t.true(await eventually(() => s.sim.device(11, volume) !== undefined));
});

test("links come and go late when told so, and a second attach meets the old link", async (t) => {
  const s = await session(t, { behaviour: { linkDelayMs: 1_000, unlinkDelayMs: 1_000 } });
  const volume = await s.volume();
  await s.reassign({ volume: `~${volume}`, rw: [11] });
  t.is(s.sim.device(11, volume), undefined);
  t.true(await eventually(() => s.sim.device(11, volume) !== undefined));
  await s.reassign({ volume: `~${volume}`, detach: "all" });
  t.truthy(s.sim.device(11, volume));
  await s.reassign({ volume: `~${volume}`, ro: [11] });
  t.true(await eventually(() => s.sim.device(11, volume)?.rights === "ro"));
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  t.is(s.sim.device(11, volume)?.rights, "ro", "the late removal hit the old device only");
});
