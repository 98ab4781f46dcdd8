// SPDX-License-Identifier: AGPL-3.0-or-later
import test from "ava";
import { parseStorageConfig, parseVolumeId } from "../../src/cli/section.js";

test("storage.cfg is read as PVE reads it", (t) => {
  const sections = parseStorageConfig(`# comment
dir: local
	path /var/lib/vz
	content iso,backup

BlockIO: fast
	path /srv/fast
	content images,rootdir
	nodes a,b
	content-dirs images=vm,iso=cd
	shared

`);
  t.deepEqual(sections.get("fast"), {
    type: "blockio",
    path: "/srv/fast",
    content: { images: true, rootdir: true },
    nodes: { a: true, b: true },
    "content-dirs": { images: "vm", iso: "cd" },
    shared: "1",
  });
  t.is(sections.get("local")?.["path"], "/var/lib/vz");
});

test("a volume ID is split at its first colon", (t) => {
  t.deepEqual(parseVolumeId("a1:100/vm-100-disk-0.raw"), { storeid: "a1", volname: "100/vm-100-disk-0.raw" });
  t.throws(() => parseVolumeId("nothing"), { code: "invalid" });
  t.throws(() => parseVolumeId("a:"), { code: "invalid" });
});
