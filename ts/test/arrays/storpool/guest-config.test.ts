// SPDX-License-Identifier: AGPL-3.0-or-later
import test from "ava";
import { lockOf, mentions, preparedSnapshot } from "../../../src/arrays/guest-config.js";

const vm = `#a note: lock: no
boot: order=scsi0
ide2: sp:vm-100-cloudinit.raw,media=cdrom,size=4M
lock: snapshot
efidisk0: sp:vm-100-disk-2-sp-a.b.c2.raw,size=1M
scsi0: sp:vm-100-disk-0-sp-a.b.c0.raw,size=8G
unused0: sp:vm-100-disk-9-sp-a.b.c9.raw

[done]
scsi0: sp:vm-100-disk-0-sp-a.b.c0.raw,size=8G
snaptime: 1700000000

[Now_]
ide2: sp:vm-100-cloudinit.raw,media=cdrom,size=4M
ide3: none,media=cdrom
efidisk0: sp:vm-100-disk-2-sp-a.b.c2.raw,size=1M
scsi0: file=sp:vm-100-disk-0-sp-a.b.c0.raw,size=8G
scsi1: other:100/vm-100-disk-0.raw,iothread=1
scsi2: /dev/sdx
scsihw: virtio-scsi-pci
tpmstate0: sp:vm-100-disk-3-sp-a.b.c3.raw,version=v2.0
snapstate: prepare
snaptime: 1700000123
vmstate: sp:snap-100-state-Now_-sp-a.b.c4.raw
`;

test("a snapshot under way is known with its time and the disks that take part", (t) => {
  t.deepEqual(preparedSnapshot(vm, "qemu-server", "Now_"), {
    time: 1700000123,
    volids: [
      "sp:vm-100-disk-2-sp-a.b.c2.raw",
      "sp:vm-100-disk-0-sp-a.b.c0.raw",
      "other:100/vm-100-disk-0.raw",
      "sp:vm-100-disk-3-sp-a.b.c3.raw",
    ],
  });
});

test("a snapshot that is finished, deleted or of another name is not under way", (t) => {
  t.is(preparedSnapshot(vm, "qemu-server", "done"), undefined);
  t.is(preparedSnapshot(vm, "qemu-server", "Now"), undefined);
  t.is(
    preparedSnapshot(vm.replace("snapstate: prepare", "snapstate: delete"), "qemu-server", "Now_"),
    undefined,
  );
  t.is(preparedSnapshot(vm.replace("lock: snapshot", "lock: backup"), "qemu-server", "Now_"), undefined);
  t.is(preparedSnapshot(vm.replace("snaptime: 1700000123", ""), "qemu-server", "Now_"), undefined);
  t.is(preparedSnapshot("", "qemu-server", "Now_"), undefined);
});

test("a backup of a container takes the mount points it is told to, a snapshot takes all", (t) => {
  const config = (snap: string) =>
    `lock: snapshot\n\n[${snap}]\nmp0: sp:a,mp=/a\nmp1: sp:b,mp=/b,backup=1\nmp2: /srv,mp=/c\nnet0: name=eth0\nrootfs: volume=sp:r,size=4G\nsnapstate: prepare\nsnaptime: 5\n`;
  t.deepEqual(preparedSnapshot(config("vzdump"), "lxc", "vzdump")?.volids, ["sp:b", "sp:r"]);
  t.deepEqual(preparedSnapshot(config("s1"), "lxc", "s1")?.volids, ["sp:a", "sp:b", "sp:r"]);
});

test("the lock is that of the guest, not one in a snapshot or a note", (t) => {
  t.is(lockOf(vm), "snapshot");
  t.is(lockOf("#lock: backup\ncores: 1\n\n[s1]\nlock: migrate\n"), undefined);
});

test("a configuration mentions a volume by its whole name, on any storage, also in a snapshot", (t) => {
  for (const name of [
    "vm-100-disk-9-sp-a.b.c9.raw",
    "snap-100-state-Now_-sp-a.b.c4.raw",
    "100/vm-100-disk-0.raw",
  ])
    t.true(mentions(vm, name), name);
  t.true(mentions("rootfs: volume=sp:r,size=4G", "r"));
  for (const name of ["vm-100-disk-9", "disk-9-sp-a.b.c9.raw", "vm-100-disk-0.raw"])
    t.false(mentions(vm, name), name);
});
