// SPDX-License-Identifier: AGPL-3.0-or-later
import test, { type ExecutionContext } from "ava";
import type { SimulatorOptions } from "../../../sim/storpool/index.js";
import type { VolumeRef } from "../../../src/arrays/contract.js";
import { storpoolType } from "../../../src/arrays/storpool/type.js";
import { clientOf, gidOf, type NodeName, Nodes, refOf } from "./nodes.js";

const MiB = 1n << 20n;
const { naming } = storpoolType;

/** Nodes, and the way of an import as the plugin layer goes it. */
class Images {
  private constructor(readonly n: Nodes) {}

  static async start(t: ExecutionContext, options: SimulatorOptions = {}): Promise<Images> {
    return new Images(await Nodes.start(t, options));
  }

  /** Makes the volume that the data of `name` goes to, and attaches it. */
  async begin(name: string, { choice = 1, node = "node-a" as NodeName } = {}): Promise<VolumeRef> {
    const driver = this.n.drivers[node];
    const asked = refOf(0, naming.importName?.(refOf(0, name), choice) ?? "");
    const staged = await driver.createVolume(this.n.ctx, asked, MiB);
    await this.n.activate(node, staged);
    return staged;
  }

  async end(staged: VolumeRef, node: NodeName = "node-a"): Promise<VolumeRef> {
    await this.n.deactivate(node, staged);
    return this.commit(staged, node);
  }

  commit(staged: VolumeRef, node: NodeName = "node-a"): Promise<VolumeRef> {
    return this.n.drivers[node].makeBase(this.n.ctx, staged, refOf(0, naming.baseName(staged)));
  }

  async make(name: string): Promise<VolumeRef> {
    return this.end(await this.begin(name));
  }

  async listed(): Promise<string[]> {
    return (await this.n.drivers["node-a"].listVolumes(this.n.ctx)).map(({ ref }) => ref.name).sort();
  }

  /** Kind and tags of all objects, but for the mark of the request. */
  objects(): object[] {
    return [...this.n.sim.state.objects.values()]
      .filter(({ deleted }) => !deleted)
      .map(({ kind, tags: { "pve-blockio-request": _, ...tags } }) => ({ kind, tags }));
  }
}

const owner = { virt: "pve", "pve-loc": "two", pve: "sp" };
const isoTags = { ...owner, "pve-type": "iso", "pve-comment": "debian-12" };
const imgTags = { ...owner, "pve-type": "images", "pve-comment": "debian-12" };

/** What releases may do differently when a volume becomes an image. */
const releases: Record<string, NonNullable<SimulatorOptions["behaviour"]>> = {
  "that keeps the global id": {},
  "that gives another global id": { freezeKeepsGlobalId: false },
  "without VolumeFreeze": { missing: ["VolumeFreeze"] },
  "that treats tags the other way": {
    snapshotInheritsTags: true,
    cloneInheritsTags: true,
    emptyTagClears: true,
    missing: ["VolumeFreeze", "VolumesAndSnapshotsList"],
  },
};

for (const [release, behaviour] of Object.entries(releases)) {
  test(`an image is one snapshot with the tags of the format, on a release ${release}`, async (t) => {
    const images = await Images.start(t, { behaviour });
    const iso = await images.make("debian-12.iso");
    t.regex(iso.name, /^debian-12-sp-[a-z0-9.]+\.iso$/);
    t.is(iso.vtype, "iso");
    const img = await images.make("img-debian-12.raw");
    t.regex(img.name, /^img-debian-12-sp-[a-z0-9.]+\.raw$/);
    t.is(img.vtype, "images");
    t.deepEqual(images.objects(), [
      { kind: "snapshot", tags: isoTags },
      { kind: "snapshot", tags: imgTags },
    ]);
    t.deepEqual(await images.listed(), [iso.name, img.name].sort());
    const { ref, size, parent } = await images.n.drivers["node-b"].getVolume(images.n.ctx, iso);
    t.deepEqual({ name: ref.name, size, parent }, { name: iso.name, size: MiB, parent: undefined });
    t.deepEqual(images.n.sim.check(), []);
  });

  test(`an end that is repeated gives the same image, on a release ${release}`, async (t) => {
    const images = await Images.start(t, { behaviour });
    const staged = await images.begin("debian-12.iso");
    const iso = await images.end(staged);
    t.is((await images.commit(staged)).name, iso.name);
    t.is((await images.commit(staged, "node-b")).name, iso.name, "also for a service that knows nothing");
    t.deepEqual(images.objects(), [{ kind: "snapshot", tags: isoTags }]);
  });

  for (const on of ["VolumeUpdate", "VolumeFreeze", "VolumeSnapshot", "SnapshotUpdate", "VolumeDelete"]) {
    for (const kind of ["reset-before", "reset-after"] as const) {
      test(`an end cut off at ${on} (${kind}) goes on or leaves nothing, on a release ${release}`, async (t) => {
        for (const then of ["repeat", "abort"]) {
          const images = await Images.start(t, { behaviour });
          const staged = await images.begin("debian-12.iso");
          images.n.sim.inject({ kind, on, count: 5 });
          const ended = await images.end(staged).then(
            () => true,
            () => false,
          );
          images.n.sim.faults.clear();
          if (then === "repeat") {
            t.is((await images.commit(staged)).vtype, "iso");
            t.is((await images.listed()).length, 1);
          } else {
            await images.n.drivers["node-a"].deleteVolume(images.n.ctx, staged);
            // The tags make the image: whether they were set is what an unanswered update leaves open.
            if (!ended && on !== "SnapshotUpdate") t.deepEqual(images.objects(), []);
            t.is(images.objects().length, (await images.listed()).length, "nothing is hidden");
          }
          t.deepEqual(images.n.sim.check(), []);
        }
      });
    }
  }
}

test("what is being written is in no listing, has no disk number and is not warned of", async (t) => {
  const images = await Images.start(t);
  const { n } = images;
  const staged = await images.begin("debian-12.iso");
  await images.begin("img-debian-12.raw");
  n.log.length = 0;
  t.deepEqual(await images.listed(), []);
  t.deepEqual(await n.drivers["node-b"].listVolumes(n.ctx, 100), []);
  t.regex((await n.disk(100, 0)).name, /^vm-100-disk-0-sp-/);
  t.deepEqual(n.holders(staged), ["node-a"]);
  t.deepEqual(
    n.log.filter((line) => !line.includes('"debug"')),
    [],
  );
  for (const name of ["debian-12.iso", "img-debian-12.raw"]) {
    await t.throwsAsync(n.drivers["node-a"].getVolume(n.ctx, refOf(0, name)), { code: "absent" });
  }
});

test("an import that is given up leaves nothing", async (t) => {
  const images = await Images.start(t);
  const staged = await images.begin("debian-12.iso");
  t.true(await images.n.drivers["node-a"].deleteVolume(images.n.ctx, staged));
  t.false(await images.n.drivers["node-a"].deleteVolume(images.n.ctx, staged));
  t.is(images.n.sim.state.objects.size, 0);
  await t.throwsAsync(images.commit(staged), { code: "absent" });
});

test("a label is taken by an image of the same type only, and by one that was made meanwhile", async (t) => {
  const images = await Images.start(t);
  const late = await images.begin("debian-12.iso", { node: "node-b" });
  const iso = await images.make("debian-12.iso");
  await t.throwsAsync(images.begin("debian-12.iso"), { code: "exists", message: new RegExp(iso.name) });
  await t.throwsAsync(images.begin("debian-12-sp-other.c.9.iso"), { code: "exists" });
  await t.throwsAsync(images.end(late, "node-b"), { code: "exists" });
  await images.n.drivers["node-b"].deleteVolume(images.n.ctx, late);
  const img = await images.make("img-debian-12");
  const second = await images.end(await images.begin("debian-12.iso", { choice: 2 }));
  t.regex(second.name, /^debian-12-2-sp-/);
  t.deepEqual(await images.listed(), [iso.name, img.name, second.name].sort());
});

test("labels keep their characters, also those of another storage's names", (t) => {
  const round = (name: string) => naming.baseName(refOf(0, naming.importName?.(refOf(0, name), 1) ?? ""));
  for (const name of ["debian-12.5.0.iso", "a:b_c.iso", "x.raw.iso", "img-a.raw", "img-x.raw.raw", "_.iso"])
    t.is(round(name), name);
  t.is(round("debian-12-sp-other.c.9.iso"), "debian-12.iso");
  t.is(round("img-debian-12-sp-other.c.9.raw"), "img-debian-12.raw");
  t.is(round("img-vm-100-disk-0-sp-other.c.9.raw"), "img-vm-100-disk-0.raw");
  t.is(round("Before-sp-1.2.3-sp-4.5.6.iso"), "Before_sp_1.2.3.iso", "what looks like an end of a name");
  const long = `${"x".repeat(199)}.iso`;
  t.is(round(long), long);
  t.is(naming.importName?.(refOf(0, long), 12), `staged-iso-${"x".repeat(196)}-12.raw`);
});

test("an image is not made empty, renamed, or written", async (t) => {
  const images = await Images.start(t);
  const { n } = images;
  const driver = n.drivers["node-a"];
  for (const name of ["debian-12.iso", "img-debian-12", "debian-12-sp-a.b.c.iso"]) {
    const error = await t.throwsAsync(driver.createVolume(n.ctx, refOf(0, name), MiB), {
      code: "unsupported",
    });
    t.regex(error?.message ?? "", /pvesm import/);
  }
  const img = await images.make("img-debian-12.raw");
  await n.activate("node-a", img);
  await n.activate("node-b", img);
  t.deepEqual(
    n.sim.state.attachments.map(({ rights }) => rights),
    ["ro", "ro"],
  );
});

test("a clone of an image has it as its parent, and none of its tags", async (t) => {
  const images = await Images.start(t, { behaviour: { cloneInheritsTags: true } });
  const { n } = images;
  const img = await images.make("img-debian-12.raw");
  const disk = await n.drivers["node-a"].cloneVolume(n.ctx, img, undefined, refOf(100, "vm-100-disk-0"));
  const [listed] = await n.drivers["node-a"].listVolumes(n.ctx, 100);
  t.deepEqual([listed?.ref.name, listed?.parent], [disk.name, img.name]);
  t.is((await n.drivers["node-b"].getVolume(n.ctx, disk)).parent, img.name);
  t.is(n.sim.state.find("volume", `~${gidOf(disk)}`)?.tags["pve-comment"], "");
});

test("an image that another guest of the node has open stays attached until that one is done", async (t) => {
  const images = await Images.start(t);
  const { n } = images;
  const iso = await images.make("debian-12.iso");
  const gid = gidOf(iso);
  await n.activate("node-a", iso);
  n.sim.setOpen(clientOf["node-a"], gid, true);
  t.false(await n.deactivate("node-a", iso));
  t.is(n.sim.state.attachments.length, 1);
  await t.throwsAsync(n.drivers["node-a"].deleteVolume(n.ctx, iso), { code: "busy" });
  n.sim.setOpen(clientOf["node-a"], gid, false);
  t.true(await n.deactivate("node-a", iso));
  t.is(n.sim.state.attachments.length, 0);
  t.true(await n.drivers["node-a"].deleteVolume(n.ctx, iso));
  t.is(n.sim.state.objects.size, 0);
});

test("an image is freed although other nodes have it attached, unless one has it open", async (t) => {
  const images = await Images.start(t);
  const { n } = images;
  const iso = await images.make("debian-12.iso");
  await n.activate("node-a", iso);
  await n.activate("node-b", iso);
  n.sim.setOpen(clientOf["node-b"], gidOf(iso), true);
  const free = () => n.drivers["node-a"].deleteVolume(n.ctx, iso);
  await t.throwsAsync(free(), { code: "busy" });
  t.deepEqual(n.holders(iso), ["node-b"]);
  n.sim.setOpen(clientOf["node-b"], gidOf(iso), false);
  t.true(await free());
  t.is(n.sim.state.objects.size, 0);
});

test("a short name means the one image with that label, and none of several", async (t) => {
  const images = await Images.start(t);
  const { n } = images;
  const driver = n.drivers["node-a"];
  const iso = await images.make("debian-12.iso");
  t.is((await driver.getVolume(n.ctx, refOf(0, "debian-12.iso"))).ref.name, iso.name);
  const twin = await images.make("other.iso");
  const other = n.sim.state.find("snapshot", `~${gidOf(twin)}`);
  if (other) other.tags = { ...other.tags, "pve-comment": "debian-12" };
  await t.throwsAsync(driver.deleteVolume(n.ctx, refOf(0, "debian-12.iso")), { code: "refused" });
  t.is((await images.listed()).length, 2);
  await t.throwsAsync(images.begin("debian-12.iso"), { code: "exists" });
});

/** An import whose node has lost power: its service knows nothing, the attachment is still there. */
async function crashed(t: ExecutionContext, minutesAgo: number) {
  let past = minutesAgo * 60;
  const images = await Images.start(t, { now: () => Math.floor(Date.now() / 1000) - past });
  // On the other node, so that node-a is one that never heard of it.
  const staged = await images.begin("debian-12.iso", { node: "node-b" });
  past = 0;
  return { images, n: images.n, staged };
}

test("what a crash has left is removed by the next import of that name", async (t) => {
  const { images, n, staged } = await crashed(t, 5);
  t.deepEqual(n.holders(staged), ["node-b"]);
  await n.sim.setClient(clientOf["node-b"], "down");
  const iso = await images.make("debian-12.iso");
  t.deepEqual(await images.listed(), [iso.name]);
  t.is(n.sim.state.objects.size, 1);
});

test("what a crash has left is removed by freeing that name", async (t) => {
  const { images, n } = await crashed(t, 5);
  const free = () => n.drivers["node-a"].deleteVolume(n.ctx, refOf(0, "debian-12.iso"));
  t.false(await free(), "its node may still be writing");
  t.is(n.sim.state.objects.size, 1);
  await n.sim.setClient(clientOf["node-b"], "down");
  t.false(await n.drivers["node-a"].deleteVolume(n.ctx, refOf(0, "img-debian-12.raw")), "another type");
  t.true(await free());
  t.deepEqual(images.objects(), []);
});

test("an import under way on any node is left alone by others of the same name", async (t) => {
  const images = await Images.start(t, { now: () => Math.floor(Date.now() / 1000) - 3600 });
  const { n } = images;
  const here = await images.begin("debian-12.iso");
  const there = await images.begin("debian-12.iso", { node: "node-b" });
  await n.drivers["node-a"].deleteVolume(n.ctx, refOf(0, "debian-12.iso"));
  await n.drivers["node-b"].deleteVolume(n.ctx, refOf(0, "debian-12.iso"));
  const third = await images.begin("debian-12.iso");
  t.is(n.sim.state.objects.size, 3);
  t.deepEqual([n.holders(here), n.holders(there), n.holders(third)], [["node-a"], ["node-b"], ["node-a"]]);
});

test("images and disks come with one request, with their parents", async (t) => {
  const images = await Images.start(t);
  const { n } = images;
  const img = await images.make("img-debian-12.raw");
  await images.make("debian-12.iso");
  await n.drivers["node-a"].cloneVolume(n.ctx, img, undefined, refOf(100, "vm-100-disk-0"));
  n.sim.journal.clear();
  const volumes = await n.drivers["node-a"].listVolumes(n.ctx);
  t.deepEqual(
    n.sim.journal.entries.map(({ path }) => path),
    ["VolumesAndSnapshotsList"],
  );
  t.deepEqual(volumes.map(({ ref, parent }) => [ref.vtype, ref.vmid, parent]).sort(), [
    ["images", 0, undefined],
    ["images", 100, img.name],
    ["iso", 0, undefined],
  ]);
});
