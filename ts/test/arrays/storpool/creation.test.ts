// SPDX-License-Identifier: AGPL-3.0-or-later
import test from "ava";
import { makeGroupSnapshot, makeSnapshot, makeVolume } from "../../../src/arrays/storpool/creation.js";
import { requestTag } from "../../../src/arrays/storpool/tags.js";
import { cut, data, error, row, type Seen, type Step, serve, text } from "./fake.js";

const gid = "nzkr.b.1f";
const source = { template: "nvme", size: 512n } as const;
const now = { looksMs: [0, 5, 5] };

/** A little array: what commands make appears in the lists. Each creating command meets the next fault. */
function array(faults: ("before" | "after" | "late" | "answer" | undefined)[]) {
  const volumes = new Map<string, Record<string, string>>();
  const snapshots = new Map<string, Record<string, string>>();
  const late: (() => void)[] = [];
  let next = 0x30;
  const make = (place: Map<string, Record<string, string>>, tags: unknown) => {
    const made = `nzkr.b.${(next++).toString(36)}`;
    place.set(made, { ...(tags as Record<string, string>) });
    return made;
  };
  const effect = ({ path, body = {} }: Seen): unknown => {
    if (path === "VolumeCreate") return { globalId: make(volumes, body["tags"]) };
    if (path.startsWith("VolumeSnapshot/")) return { snapshotGlobalId: make(snapshots, body["tags"]) };
    const asked = body["volumes"] as { volume: string; tags: unknown }[];
    return {
      snapshots: asked.map(({ volume, tags }) => ({
        volumeGlobalId: volume.slice(1),
        snapshotGlobalId: make(snapshots, tags),
      })),
    };
  };
  const list = (place: Map<string, Record<string, string>>) =>
    data([...place].map(([id, tags]) => row(id, { tags })));
  const step: Step = (reply, request) => {
    const { path } = request;
    if (path === "VolumesList") return list(volumes)(reply, request);
    if (path === "SnapshotsList") return list(snapshots)(reply, request);
    if (path.includes("Delete/")) {
      volumes.delete(path.replace(/.*~/, ""));
      snapshots.delete(path.replace(/.*~/, ""));
      return data({ ok: true })(reply, request);
    }
    if (path.includes("Update/")) {
      const tags = volumes.get(path.replace(/.*~/, "")) ?? snapshots.get(path.replace(/.*~/, ""));
      Object.assign(tags ?? {}, request.body?.["tags"]);
      return data({ ok: true })(reply, request);
    }
    const fault = faults.shift();
    if (fault === "before") return cut()(reply, request);
    if (fault === "answer") return error("insufficientResources", "full")(reply, request);
    if (fault === "late") {
      late.push(() => void effect(request));
      return cut()(reply, request);
    }
    const made = effect(request);
    for (const happen of late.splice(0)) happen();
    return fault === "after" ? cut()(reply, request) : data(made)(reply, request);
  };
  return { step, volumes, snapshots };
}

test("a volume whose creation went unanswered is taken over, not made again", async (t) => {
  const { step, volumes } = array(["after"]);
  const { client, ctx, seen } = await serve(t, [step]);
  const made = await makeVolume(client, ctx, source, { virt: "pve" }, now);
  t.deepEqual([...volumes.keys()], [made]);
  t.is(seen.filter(({ path }) => path === "VolumeCreate").length, 1);
  t.is(volumes.get(made)?.["virt"], "pve");
});

test("a volume whose creation got lost is made on the next attempt, once", async (t) => {
  const { step, volumes } = array(["before", "before"]);
  const { client, ctx } = await serve(t, [step]);
  const made = await makeVolume(client, ctx, source, {}, now);
  t.deepEqual([...volumes.keys()], [made]);
});

test("what an attempt given up makes after all is discarded", async (t) => {
  const { step, volumes } = array(["late"]);
  const { client, ctx, seen } = await serve(t, [step]);
  const made = await makeVolume(client, ctx, source, {}, now);
  t.deepEqual([...volumes.keys()], [made]);
  t.is(seen.filter(({ path }) => path.startsWith("VolumeDelete/")).length, 1);
});

test("of two results that were both unanswered one is kept", async (t) => {
  const { step, volumes } = array(["late", "after"]);
  const { client, ctx } = await serve(t, [step]);
  const made = await makeVolume(client, ctx, source, {}, now);
  t.deepEqual([...volumes.keys()], [made]);
});

/** The marks of all attempts that were sent. */
function marks(seen: readonly Seen[]): string[] {
  return seen
    .filter(({ path }) => path === "VolumeCreate")
    .map(({ body = {} }) => (body["tags"] as Record<string, string>)[requestTag] ?? "");
}

test("each attempt has its own mark, and what is made keeps none", async (t) => {
  const { step, volumes } = array(["before", "before"]);
  const { client, ctx, seen } = await serve(t, [step]);
  const made = await makeVolume(client, ctx, source, {}, { ...now, prefix: "p-" });
  const sent = marks(seen);
  t.is(new Set(sent).size, 3);
  t.true(sent.every((mark) => /^p-[0-9a-f-]{36}$/.test(mark)));
  t.is(volumes.get(made)?.[requestTag], "");
});

test("a mark that cannot be taken off does no harm", async (t) => {
  const { step } = array([]);
  const refused: Step = (reply, request) =>
    request.path.includes("Update/") ? error("busy", "no")(reply, request) : step(reply, request);
  const { client, ctx, lines } = await serve(t, [refused]);
  t.is(await makeVolume(client, ctx, source, {}, now), "nzkr.b.1c");
  t.true(lines.some((line) => line.includes(`tag ${requestTag} stays`)));
});

test("after three lost attempts the mark to look for is named", async (t) => {
  const { step } = array(["before", "before", "before"]);
  const { client, ctx, seen } = await serve(t, [step]);
  const thrown = await t.throwsAsync(makeVolume(client, ctx, source, {}, now), { code: "unreachable" });
  t.is(marks(seen).length, 3);
  for (const mark of marks(seen)) t.true(thrown?.message.includes(mark));
});

test("a no of the array is final, nothing is looked for", async (t) => {
  const { step } = array(["answer"]);
  const { client, ctx, seen } = await serve(t, [step]);
  await t.throwsAsync(makeVolume(client, ctx, source, {}, now), { code: "no-space" });
  t.is(seen.length, 1);
});

test("nothing is made again while looking gets no answer", async (t) => {
  const { client, ctx, seen } = await serve(t, [cut(), text(502, "<html>")]);
  const create = makeVolume(client, ctx, source, {}, now);
  await t.throwsAsync(create, { code: "unreachable", message: new RegExp(`${requestTag}=`) });
  t.is(seen.filter(({ path }) => path === "VolumeCreate").length, 1);
});

test("the caller's deadline ends the search, naming the mark", async (t) => {
  const { step } = array(["after"]);
  const { client, ctx } = await serve(t, [step]);
  const soon = { ...ctx, signal: AbortSignal.timeout(1_000) };
  const create = makeVolume(client, soon, source, {}, { looksMs: [60_000] });
  await t.throwsAsync(create, { code: "timeout", message: new RegExp(`${requestTag}=`) });
});

for (const fault of ["after", "before", "late"] as const) {
  test(`a snapshot is there once when its reply is lost (${fault} the effect)`, async (t) => {
    const { step, snapshots } = array([fault]);
    const { client, ctx } = await serve(t, [step]);
    const made = await makeSnapshot(client, ctx, gid, { "pve-snap": "before" }, now);
    t.deepEqual([...snapshots.keys()], [made]);
    t.is(snapshots.get(made)?.["pve-snap"], "before");
  });

  test(`a group of snapshots is there once when its reply is lost (${fault} the effect)`, async (t) => {
    const { step, snapshots } = array([fault]);
    const { client, ctx } = await serve(t, [step]);
    const volumes = [gid, "nzkr.b.20"].map((id) => ({ gid: id, tags: { "pve-snap-v": id } }));
    const made = await makeGroupSnapshot(client, ctx, volumes, now);
    t.deepEqual(
      made.map(({ volumeGid }) => volumeGid),
      [gid, "nzkr.b.20"],
    );
    t.deepEqual(
      [...snapshots.keys()],
      made.map((snapshot) => snapshot.gid),
    );
  });
}
