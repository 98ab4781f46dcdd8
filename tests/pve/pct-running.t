#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: running containers: started by PVE's own hooks, their volumes guarded while in use, snapshots that contain what was
# just written, backup in snapshot, suspend and stop mode, restore, rollback, migration with restart; no loop device stays.
. "$(dirname "$0")/lib/env.sh"
. "$here/lib/ct.sh"
two_nodes
# LXC names its sockets and control groups on the whole machine, so the ID is this run's own
ct=$((100000 + $$)) copy=$((200000 + $$)) back=$((300000 + $$))
runtime pve1 pve2 >"$T/runtime" 2>&1 || runtime=$(tail -n 1 "$T/runtime")
must 'create' make_ct $ct --rootfs sub:0.25 --mp0 sub:0.125,mp=/data,backup=1
first=$(ct_disk $ct rootfs)
no_mmp "$first" "$(ct_disk $ct mp0)"
run on1 pct start $ct
if [ -n "${runtime:-}" ] || [ "$(ct_status $ct)" != running ]; then
    skip 'running containers' "${runtime:-LXC does not start a container on this machine}"
    ok 'destroy' on1 pct destroy $ct --force 1
    finish
    exit
fi

put() { # TEXT: into a file on each volume, as the container sees them
    echo "$1" >"$STORE/put"
    on1 pct push $ct "$STORE/put" /root/f && on1 pct push $ct "$STORE/put" /data/f
}
got() { # [NODE]
    local n=${1:-pve1}
    on "$n" pct pull $ct /root/f "$STORE/got1" && on "$n" pct pull $ct /data/f "$STORE/got2" &&
        paste -d' ' "$STORE/got1" "$STORE/got2"
}
# LINSTOR's replicas keep their devices, which are loop devices here, on every node.
loops() { if [ "$SUBJECT" = drbd ]; then echo "$1"; else losetup -n -O BACK-FILE | grep -c "$STORE/sub/"; fi; } # EXPECTED

ok 'write' put one
is 'read' "$(got)" 'one one'
is 'one loop device for each volume' "$(loops 2)" 2
if [ -n "$OURS" ]; then
    run on1 pvesm free "$first"
    like 'a volume in use is not removed' "$OUT" 'busy'
    ok 'and it is still there' on1 test -e "$(path_of "$first")"
fi
fails 'a running container is not destroyed' 'running' on1 pct destroy $ct
if on1 perl -e 'open(my $f, "<", "/proc/self/status"); exit(!grep { /^CapEff:\s*(\S+)/ && hex($1) >> 24 & 1 } <$f>)'; then
    ok 'resize, running' on1 pct resize $ct mp0 160M
    like 'its file system has grown' "$OUT" 'now .* blocks long'
else
    skip 'resize, running' 'the kernel lets nobody without CAP_SYS_RESOURCE grow a mounted ext4'
fi

# --- snapshots
if [ -n "$CAN_RAW_SNAP" ]; then
    ok 'write' put two
    ok 'snapshot, running' on1 pct snapshot $ct s1
    ok 'write' put three
    ok 'clone of the snapshot' on1 pct clone $ct $copy --full 1 --snapname s1
    is 'it has what was written just before' "$(file_in_ct $copy root/f) $(file_in_ct $copy data/f)" 'two two'
    ok 'destroy the clone' on1 pct destroy $copy
else
    fails 'a snapshot is refused' 'snapshot feature is not available' on1 pct snapshot $ct s1
    ok 'write' put three
fi

# --- backup
ok 'backup in snapshot mode' on1 vzdump $ct --storage plain --mode snapshot --compress zstd
if [ -n "$CAN_RAW_SNAP" ]; then
    like 'it was one' "$OUT" "create storage snapshot 'vzdump'"
    like 'no error on the way' "$OUT" 'cleanup temporary .vzdump. snapshot'
    unlike 'the snapshot is gone' "$(on1 pct listsnapshot $ct) $(left_over)" vzdump
else
    like 'it fell back' "$OUT" 'trying .suspend. mode instead'
fi
is 'still running' "$(ct_status $ct)" running
backup=$(listed plain --content backup)
ok 'restore to the subject' on1 pct restore $back "$backup" --storage sub --unprivileged 1
is 'content' "$(file_in_ct $back root/f) $(file_in_ct $back data/f)" 'three three'
ok 'destroy what was restored' on1 pct destroy $back
target=sub
[ -n "$CAN_FILES" ] || target=plain
run on1 pvesm free "$backup"
ok 'backup in stop mode, onto the subject where it takes any' on1 vzdump $ct --storage $target --mode stop --compress 0
is 'running again' "$(ct_status $ct)" running
backup=$(listed $target --content backup)
like 'it is listed' "$backup" "^$target:backup/vzdump-lxc-$ct-.*\.tar\$"
like 'its configuration can be read' "$(plain "$(on1 pvesm extractconfig "$backup")")" "^rootfs: sub:$ct/"
ok 'remove it' on1 pvesm free "$backup"

# --- rollback, migration
if [ -n "$CAN_RAW_SNAP" ]; then
    ok 'rollback and start' on1 pct rollback $ct s1 --start 1
    is 'content' "$(got)" 'two two'
    ok 'delete the snapshot' on1 pct delsnapshot $ct s1
else
    ok 'write' put two
fi
ok 'migrate with restart' on1 pct migrate $ct pve2 --restart 1 --timeout 20
is 'running there' "$(ct_status $ct pve2)" running
is 'content' "$(got pve2)" 'two two'
ok 'shut down' on2 pct shutdown $ct --timeout 20
is 'stopped' "$(ct_status $ct pve2)" stopped
for ((i = 0; i < 50; i++)); do [ "$(loops 0)" = 0 ] && break; sleep 0.2; done # the hook after the stop runs by itself
is 'no loop device is left' "$(loops 0)" 0
ok 'destroy' on2 pct destroy $ct
nothing_left
finish
