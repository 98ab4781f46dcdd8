#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: containers are created on raw images and on sub-volumes, mounted, filled, checked, resized and destroyed; owners of
# files in an unprivileged container are kept; volumes are detached, found by rescan and removed; sub-volumes
# have snapshots and linked clones where the file system can; nothing stays behind.
. "$(dirname "$0")/lib/env.sh"
. "$here/lib/ct.sh"
one_node

# --- raw images
must 'create on raw images' make_ct 100 --rootfs sub:0.25 --mp0 sub:0.125,mp=/srv/data,backup=1
config=$(plain "$(on1 pct config 100)")
root=$(ct_disk 100 rootfs) mount=$(ct_disk 100 mp0)
like 'root file system' "$config" '^rootfs: sub:100/vm-100-disk-0\.raw,size=256M'
like 'mount point' "$config" '^mp0: sub:100/vm-100-disk-1\.raw,mp=/srv/data.*size=128M'
like 'they are listed as containers'\'' volumes' "$(plain "$(on1 pvesm list sub --content rootdir)")" 'sub:100/vm-100-disk-0\.raw +raw +rootdir +268435456 +100'
is 'not as disk images' "$(listed sub --content images)" ''
is 'the template is in it' "$(file_in_ct 100 etc/motd)" 'hello from the template'
is 'owners are shifted' "$(in_ct 100 'stat -c %u:%g etc/motd tmp' | paste -sd' ')" '100000:100000 101000:101000'
ok 'write to both' in_ct 100 'echo one >root/f && echo two >srv/data/f && head -c 5000000 /dev/urandom >srv/data/big && sync'
is 'read one' "$(file_in_ct 100 root/f)" one
is 'read the other' "$(file_in_ct 100 srv/data/f)" two
true_that 'nothing keeps a loop device' -z "$(losetup -j "$(path_of "$root")")"

no_mmp "$root" "$mount"
ok 'check the file system' on1 pct fsck 100
like 'it is clean' "$OUT" 'clean'
ok 'resize the root file system' on1 pct resize 100 rootfs +64M
like 'the configuration has the new size' "$(on1 pct config 100)" '^rootfs: .*size=320M'
is 'the volume has it' "$(size_of "$root")" $((320 << 20))
true_that 'the file system fills it' "$(in_ct 100 'df -k --output=size . | tail -n 1')" -gt 270000
is 'contents stay' "$(file_in_ct 100 root/f)" one
ok 'resize the mount point' on1 pct resize 100 mp0 200M
is 'contents stay' "$(file_in_ct 100 srv/data/f)" two

# --- detach, rescan
ok 'detach the mount point' on1 pct set 100 --delete mp0
like 'it is unused' "$(on1 pct config 100)" "^unused0: $mount"
ok 'rescan' on1 pct rescan --vmid 100
is 'finds no other' "$(on1 pct config 100 | grep -c '^unused')" 1
ok 'attach it again' on1 pct set 100 --mp1 "$mount,mp=/mnt/again"
is 'contents stay' "$(file_in_ct 100 mnt/again/f)" two
ok 'detach and remove' on1 sh -c 'pct set 100 --delete mp1 && pct set 100 --delete unused0'
is 'one volume is left' "$(listed sub --vmid 100)" "$root"
must 'a volume nobody refers to' on1 pvesm alloc sub 100 vm-100-disk-7.raw 1M
ok 'rescan' on1 pct rescan
like 'finds it' "$(plain "$(on1 pct config 100)")" '^unused[0-9]: sub:100/vm-100-disk-7.raw'
ok 'destroy' on1 pct destroy 100 --purge 1
nothing_left

# --- sub-volumes
if [ -z "$CAN_SUBVOL" ]; then
    fails 'a container on a sub-volume is refused' 'needs a size|not supported|subvol' make_ct 101 --rootfs sub:0
    run on1 pct destroy 101 --force 1
    nothing_left
    finish
    exit
fi
must 'create on sub-volumes' make_ct 101 --rootfs sub:0 --mp0 sub:0,mp=/data
config=$(on1 pct config 101)
like 'root file system' "$config" '^rootfs: sub:101/subvol-101-disk-0\.subvol'
is 'they are listed' "$(listed sub)" 'sub:101/subvol-101-disk-0.subvol sub:101/subvol-101-disk-1.subvol'
is 'format' "$(on1 pvesm list sub | awk 'NR == 2 { print $2, $3, $5 }')" 'subvol rootdir 101'
true_that 'a directory' -d "$(path_of sub:101/subvol-101-disk-0.subvol)"
is 'the template is in it' "$(file_in_ct 101 etc/motd)" 'hello from the template'
is 'owners are shifted' "$(in_ct 101 'stat -c %u:%g etc/motd')" 100000:100000
ok 'write to both' in_ct 101 'echo one >root/f && echo two >data/f'
is 'read them' "$(file_in_ct 101 root/f) $(file_in_ct 101 data/f)" 'one two'
if [ -n "$CAN_SUBVOL_SNAP" ]; then
    ok 'snapshot' on1 pct snapshot 101 s1
    ok 'write again' in_ct 101 'echo later >root/f && rm data/f && mkdir data/new'
    ok 'rollback' on1 pct rollback 101 s1
    is 'content of that time' "$(file_in_ct 101 root/f) $(file_in_ct 101 data/f)" 'one two'
    is 'owners of that time' "$(in_ct 101 'stat -c %u:%g etc/motd')" 100000:100000
    fails 'no full clone of the snapshot' . on1 pct clone 101 102 --full 1 --snapname s1
    run on1 pct destroy 102 --force 1
    ok 'a second snapshot' on1 pct snapshot 101 s2
    ok 'delete the first' on1 pct delsnapshot 101 s1
    is 'one is left' "$(on1 pct listsnapshot 101 | grep -c ' s[12] ')" 1
else
    fails 'no snapshot of sub-volumes' 'snapshot feature is not available' on1 pct snapshot 101 s1
fi
ok 'destroy' on1 pct destroy 101
nothing_left

# --- templates and linked clones of sub-volumes
must 'create on a sub-volume' make_ct 103 --rootfs sub:0
ok 'make it a template' on1 pct template 103
like 'its volume is a base' "$(on1 pct config 103)" '^rootfs: sub:103/basevol-103-disk-0\.subvol'
if [ -n "$CAN_SUBVOL_SNAP" ]; then
    ok 'linked clone' on1 pct clone 103 104
    ok 'write to it' in_ct 104 'echo clone >etc/motd'
    is 'the clone has it' "$(file_in_ct 104 etc/motd)" clone
    ok 'destroy the clone' on1 pct destroy 104
fi
ok 'full clone' on1 pct clone 103 105 --full 1 --storage sub
is 'the template is in it' "$(file_in_ct 105 etc/motd)" 'hello from the template'
ok 'destroy the full clone' on1 pct destroy 105
ok 'destroy the template' on1 pct destroy 103
nothing_left
finish
