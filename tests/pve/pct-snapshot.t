#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: container snapshots: taken, listed, rolled back (content and size), deleted, cloned from; all volumes of the
# container go together; destroying takes the snapshots along.
. "$(dirname "$0")/lib/env.sh"
. "$here/lib/ct.sh"
one_node

must 'create' make_ct 100 --rootfs sub:0.25 --mp0 sub:0.125,mp=/data
if [ -z "$CAN_RAW_SNAP" ]; then
    fails 'a snapshot is refused without harm' 'snapshot feature is not available' on1 pct snapshot 100 s1
    unlike 'no trace in the configuration' "$(on1 pct config 100)" 's1|lock'
    ok 'destroy' on1 pct destroy 100
    nothing_left
    finish
    exit
fi
root=$(ct_disk 100 rootfs)
no_mmp "$root"

both() { echo "$(file_in_ct 100 root/f) $(file_in_ct 100 data/f)"; }
ok 'write' in_ct 100 'echo one >root/f && echo one >data/f'
ok 'snapshot' on1 pct snapshot 100 s1 --description 'first'
fails 'the same name again' 'already used' on1 pct snapshot 100 s1
ok 'write more' in_ct 100 'echo two >root/f && echo two >data/f'
ok 'grow' on1 pct resize 100 rootfs 320M
ok 'a second snapshot' on1 pct snapshot 100 s2
ok 'write again' in_ct 100 'echo three >root/f && echo three >data/f'
is 'two snapshots and the present' "$(on1 pct listsnapshot 100 | grep -c -- '->')" 3
is 'two volumes are listed' "$(listed sub | wc -w)" 2
is 'the present' "$(both)" 'three three'

if [ -n "$CAN_ROLLBACK_ANY" ]; then
    ok 'rollback to the first' on1 pct rollback 100 s1
    is 'content' "$(both)" 'one one'
    is 'size in the storage' "$(size_of "$root")" $((256 << 20))
    like 'size in the configuration' "$(on1 pct config 100)" '^rootfs: .*size=256M'
else
    fails 'rollback to the first is refused, and the second named' 'delete s2 first' on1 pct rollback 100 s1
    is 'the present is untouched' "$(both)" 'three three'
fi
ok 'rollback to the second' on1 pct rollback 100 s2
is 'content' "$(both)" 'two two'
is 'size in the storage' "$(size_of "$root")" $((320 << 20))
ok 'the file system is whole' on1 pct fsck 100

ok 'full clone of the first' on1 pct clone 100 101 --full 1 --snapname s1
is 'content of that time' "$(file_in_ct 101 root/f) $(file_in_ct 101 data/f)" 'one one'
ok 'destroy it' on1 pct destroy 101

ok 'delete the first' on1 pct delsnapshot 100 s1
is 'the present is untouched' "$(both)" 'two two'
ok 'write' in_ct 100 'echo four >root/f'
ok 'rollback to the second' on1 pct rollback 100 s2
is 'content' "$(both)" 'two two'
ok 'destroy with a snapshot' on1 pct destroy 100
nothing_left
finish
