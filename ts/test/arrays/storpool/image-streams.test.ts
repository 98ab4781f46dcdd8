// SPDX-License-Identifier: AGPL-3.0-or-later
import { open } from "node:fs/promises";
import test, { type ExecutionContext } from "ava";
import { overBridge } from "../../conformance/bridge.js";
import { isReadOnly, MiB, pattern, readBytes } from "../../conformance/bytes.js";
import type { Question } from "../../conformance/question.js";
import { type Begun, failure, type Session } from "../../conformance/session.js";
import { exported, importStream, piped, receive, sender, streamOf } from "../../conformance/streams.js";
import type { Site } from "../../conformance/subject.js";
import { storpoolSubject } from "../../conformance/subjects/storpool.js";
import { answer } from "../../conformance/suite.js";

/** Images by their whole names: short ones would hide which object is meant. */
const { plain: _, ...subject } = storpoolSubject("images");
let site: Site;

/** Asks on a storage of its own, with devices; what is left behind is an answer too. */
function ask(title: string, body: (t: ExecutionContext, s: Session) => Promise<void>): void {
  const question: Question = { title, ask: body };
  if (subject.unavailable === undefined) test(title, (t) => answer(t, question, subject, site));
  else test.skip(`${title} [not asked: ${subject.unavailable}]`, () => {});
}

if (subject.unavailable === undefined) {
  test.before("the cluster is made ready", async () => {
    site = await subject.open();
  });
  test.after.always("the cluster is taken down", async () => {
    await site?.close();
  });
}

const data = pattern("an image", 1 << 20);
const isoName = /^debian-12-sp-[a-z0-9]+\.[a-z0-9]+\.[a-z0-9]+\.iso$/;
const stream = () => sender(streamOf(data));

for (const [name, whole] of [
  ["debian-12.iso", isoName],
  ["img-debian-12.raw", /^img-debian-12-sp-[a-z0-9.]+\.raw$/],
] as const) {
  ask(`${name} comes in, is read-only, and goes out as it came`, async (t, s) => {
    const image = await importStream(s, name, stream());
    t.regex(image, whole);
    const path = await s.map(image);
    t.true((await readBytes(path, 0n, 1 << 20)).equals(data));
    t.true(await isReadOnly(path));
    t.true((await exported(s, path)).equals(streamOf(data)));
    const vtype = name.endsWith(".iso") ? "iso" : "images";
    t.like(await s.info(image), { vtype, vmid: 0, size: MiB });
    t.deepEqual(await s.names(), [image]);
    await s.deactivate(image);
    t.true(await s.free(image));
    t.false(await s.free(image));
  });
}

ask("a stream that ends early leaves nothing of an image", async (t, s) => {
  await s.leavesNothing(t, async () => {
    const cut = streamOf(data).subarray(0, 1000);
    t.is((await failure(() => importStream(s, "debian-12.iso", sender(cut))))?.code, "invalid");
  });
});

ask("the import of an image whose client hangs up leaves nothing, and its name is free", async (t, s) => {
  const before = await s.place.inventory();
  const args = { volname: "debian-12.iso", size: `${MiB}`, format: "raw+size", allowRename: false };
  await overBridge(s, async (connect) => {
    const client = await connect();
    const begun = await client.call<Begun>("volume_import", args);
    const other = await connect();
    t.is((await failure(() => other.call("volume_import", args)))?.code, "exists", "it is being imported");
    await piped(s, (fd) => receive(begun, fd, MiB), sender(data));
    t.deepEqual(await s.list(), []);
    await client.hangUp();
    t.deepEqual(await s.place.inventory(), before);
    await other.call<Begun>("volume_import", args);
    await other.hangUp();
  });
  t.deepEqual(await s.place.inventory(), before);
});

ask("an image is made by a service that was restarted meanwhile", async (t, s) => {
  const begun = await s.beginImport("debian-12.iso", MiB);
  await piped(s, (fd) => receive(begun, fd, MiB), sender(data));
  const service = s.restarted();
  const image = await service.commitImport(begun);
  t.regex(image, isoName);
  t.true((await readBytes(await service.map(image), 0n, 1 << 20)).equals(data));
});

ask("the end of an import is sent again without harm", async (t, s) => {
  const begun = await s.beginImport("img-debian-12.raw", MiB);
  await piped(s, (fd) => receive(begun, fd, MiB), sender(data));
  const image = await s.commitImport(begun);
  const { token, volname } = begun;
  t.deepEqual(await s.call("volume_import_commit", { token, volname }), { volname: image });
  t.is((await s.place.inventory()).length, 1);
});

ask("an image that is being imported stays the importer's until its data is complete", async (t, s) => {
  const begun = await s.beginImport("debian-12.iso", MiB);
  await s.refused(t, "busy", () => s.call("free_image", { volname: begun.volname }));
  t.false(await s.free("debian-12.iso"));
  // A service that was restarted knows nothing of it, but the array knows who has it open.
  const writer = await open(begun.target.path, "r+");
  const { leases } = s;
  const known = new Map(leases);
  const service = s.restarted();
  t.false(await service.free("debian-12.iso"));
  t.is((await s.place.inventory()).length, 1);
  await writer.close();
  for (const [token, lease] of known) leases.set(token, lease);
  await s.abandon(begun.token);
});

ask("a taken label is refused, or replaced by the next one that is free", async (t, s) => {
  const made = [await importStream(s, "debian-12.iso", stream())];
  await s.refused(t, "exists", () => importStream(s, "debian-12.iso", stream()), made[0]);
  for (const label of ["debian-12-2", "debian-12-3"]) {
    const next = await importStream(s, "debian-12.iso", stream(), true);
    t.true(next.startsWith(`${label}-sp-`), next);
    made.push(next);
  }
  t.deepEqual(await s.names(), [...made].sort());
});

ask("a name of another cluster keeps its label", async (t, s) => {
  t.regex(await importStream(s, "debian-12-sp-far.a.way.iso", stream()), isoName);
  await s.refused(t, "exists", () => importStream(s, "debian-12-sp-far.a.way.iso", stream()));
});

ask("an image is immutable, and made with its data only", async (t, s) => {
  for (const name of ["debian-12.iso", "img-debian-12", "debian-12-sp-a.b.c.iso"])
    await s.refused(t, "unsupported", () => s.alloc({ name }), "pvesm import");
  const img = await importStream(s, "img-debian-12.raw", stream());
  await s.refused(t, "refused", () => s.resize(img, 8n * MiB));
  await s.refused(t, "refused", () => s.snapshot(img, "s1"));
  await s.refused(t, "refused", () => s.makeBase(img));
  await s.refused(t, ["refused", "unsupported"], () => s.rename(img, 100));
});

ask("a disk is cloned from an image, which it names as its parent", async (t, s) => {
  const img = await importStream(s, "img-debian-12.raw", stream());
  const disk = await s.clone(img, 100);
  t.regex(disk, /^vm-100-disk-0-sp-/);
  t.like(await s.info(disk), { parent: img, size: MiB });
  t.like((await s.list(100))[0], { volname: disk, parent: img });
  t.true((await readBytes(await s.map(disk), 0n, 1 << 20)).equals(data));
});

ask("a base comes in under its own name, also when its end is sent twice", async (t, s) => {
  const begun = await s.beginImport("base-100-disk-3.raw", MiB);
  await piped(s, (fd) => receive(begun, fd, MiB), sender(data));
  const base = await s.commitImport(begun);
  t.regex(base, /^base-100-disk-3-sp-/);
  const { token, volname } = begun;
  t.deepEqual(await s.call("volume_import_commit", { token, volname }), { volname: base });
  t.deepEqual(await s.names(), [base]);
});

ask("an image that a guest has open survives that another one is stopped", async (t, s) => {
  const iso = await importStream(s, "debian-12.iso", stream());
  const guest = await open(await s.map(iso), "r");
  await s.deactivate(iso);
  t.is((await guest.read(Buffer.alloc(512), 0, 512, 0)).bytesRead, 512);
  await s.refused(t, "busy", () => s.call("free_image", { volname: iso }));
  await guest.close();
  await s.deactivate(iso);
});

ask("what a crash of the node has left goes when its name is freed there", async (t, s) => {
  await s.leavesNothing(t, async () => {
    await s.beginImport("debian-12.iso", MiB);
    const service = s.restarted();
    t.is((await s.place.inventory()).length, 1);
    t.true(await service.free("debian-12.iso"));
  });
});
