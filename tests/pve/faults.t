#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: without the service, or with one that hangs, every command ends within seconds and says so, and other storages and
# running guests go on; a service that dies in the middle leaves nothing half done, and repeating the command works.
. "$(dirname "$0")/lib/env.sh"
. "$here/lib/guest.sh"
[ "$SUBJECT" = blockio ] || skip_all "$SUBJECT has no service"
one_node

must 'a VM' make_vm 100 --scsi0 sub:0.125 --boot order=scsi0
ok 'install the guest' install_guest sub:100/vm-100-disk-0.raw
ok 'start' on1 qm start 100
must 'a volume' on1 pvesm alloc sub 101 vm-101-disk-0.raw 4M
# PVE's commands take their time to load, more so on a busy machine
start=$EPOCHREALTIME
on1 pvesm apiinfo >/dev/null
limit=$(awk -v t="$(since "$start")" 'BEGIN { print 5 + 2 * t }')

without() { # TEXT REGEX: what holds whenever the service does not answer
    within "$limit" "$1: status ends in time" on1 pvesm status
    like "$1: others are shown" "$OUT" 'plain +dir +active'
    like "$1: ours is not active" "$OUT" 'sub +blockio +inactive'
    like "$1: and the reason is given" "$OUT" "$2"
    local c
    for c in 'pvesm alloc sub 102 vm-102-disk-0.raw 4M' 'pvesm list sub' 'pvesm free sub:101/vm-101-disk-0.raw' \
        'qm set 100 --scsi1 sub:1' 'qm disk resize 100 scsi0 +1M'; do
        # shellcheck disable=SC2086
        within "$limit" "$1: $c ends in time" on1 $c
        like "$1: and says why" "$OUT" "$2"
        unlike "$1: without a Perl line number" "$OUT" 'Blockio.*line [0-9]+'
    done
    like "$1: path needs nobody" "$(on1 pvesm path sub:101/vm-101-disk-0.raw)" '^/'
    true_that "$1: nothing was removed" -e "$STORE/sub/images/101/vm-101-disk-0.raw"
    true_that "$1: nothing was made" ! -e "$STORE/sub/images/102/vm-102-disk-0.raw"
    ok "$1: qm list" on1 qm list
    ok "$1: the running guest goes on" guest_alive 100
    fails "$1: another one does not start" "$2" on1 sh -c 'qm create 103 --memory 32 --kvm 0 --vga none --scsi0 sub:101/vm-101-disk-0.raw &&
        qm start 103'
    run on1 qm set 103 --delete scsi0
    run on1 sed -i '/^unused/d' /etc/pve/qemu-server/103.conf
    run on1 qm destroy 103
    ok "$1: the stock storage works" on1 pvesm alloc plain 104 vm-104-disk-0.raw 1M
    run on1 pvesm free plain:104/vm-104-disk-0.raw
}
recovered() { # TEXT
    like "$1: active again" "$(on1 pvesm status)" 'sub +blockio +active'
    ok "$1: alloc" on1 pvesm alloc sub 102 vm-102-disk-0.raw 4M
    ok "$1: free" on1 pvesm free sub:102/vm-102-disk-0.raw
    is "$1: everything is there" "$(listed sub)" 'sub:100/vm-100-disk-0.raw sub:101/vm-101-disk-0.raw'
}

ok 'stop the service' service_stop pve1
without 'stopped' 'service is not running'
ok 'start it' service_start pve1
recovered 'started'

service_kill pve1 KILL
sleep 0.5
without 'killed' 'service is not running'
ok 'start it' service_start pve1
recovered 'started'

service_kill pve1 STOP
without 'hanging' 'does not answer|did not answer'
service_kill pve1 CONT
recovered 'going on'

ok 'a guest stops while the service does not' on1 sh -c 'kill -STOP $(cat /run/pve-blockio/test.pid); qm stop 100; r=$?
    kill -CONT $(cat /run/pve-blockio/test.pid); exit $r'
is 'it is stopped' "$(vm_status 100)" stopped
read -r starts _ missing <<<"$(tracks sub:100/vm-100-disk-0.raw)"
is 'and lost nothing' "$starts $missing" '1 0'

# --- in the middle of something
before=$(left_over)
restart_soon() { # SECONDS: the service dies and comes back
    (sleep "$1" && service_kill pve1 KILL && service_start pve1) >>"$LOG" 2>&1 &
}
settled() { # VOLUME ID: the command before either did all of it or nothing
    local v=${1#sub:} end=$((SECONDS + 15))
    if [ "$(listed sub --vmid "${v%%/*}")" = "$1" ]; then
        ok "$2: done in spite of it, remove it" on1 pvesm free "$1"
    elif [[ $2 == *service* ]]; then
        run on1 pvesm free "$1" # what a killed service was about to make is removed by the next call on the same name
    fi
    until [ "$(left_over)" = "$before" ] || [ $SECONDS -ge $end ]; do sleep 0.2; done
    is "$2: nothing half done" "$(left_over)" "$before"
}
ok 'allocate in full from now on' on1 pvesm set sub --preallocation full
restart_soon 1
run on1 pvesm alloc sub 105 vm-105-disk-0.raw 1500M
wait
printf '# alloc while the service was restarted: %s\n' "$(tail -n 1 <<<"$OUT")"
settled sub:105/vm-105-disk-0.raw 'service killed in an allocation'
ok 'repeated' on1 pvesm alloc sub 105 vm-105-disk-0.raw 100M
ok 'and removed' on1 pvesm free sub:105/vm-105-disk-0.raw

(LIMIT=1 on1 pvesm alloc sub 105 vm-105-disk-0.raw 1500M) >>"$LOG" 2>&1
settled sub:105/vm-105-disk-0.raw 'command killed in an allocation'
ok 'preallocation off again' on1 pvesm set sub --delete preallocation

random_file "$STORE/data" 60
{ perl -e 'print pack("Q<", 60 << 20)'; cat "$STORE/data"; } >"$STORE/stream"
slowly() { head -c 20000000 "$STORE/stream"; sleep 4; tail -c +20000001 "$STORE/stream"; }
restart_soon 2
slowly | on1 pvesm import sub:105/vm-105-disk-1.raw raw+size - >"$T/import" 2>&1
wait
printf '# import while the service was restarted: %s\n' "$(tail -n 1 "$T/import")"
if grep -q 'successfully imported' "$T/import"; then
    is 'it says it succeeded, and it did' "$(digest "$STORE/sub/images/105/vm-105-disk-1.raw")" "$(digest "$STORE/data")"
fi
settled sub:105/vm-105-disk-1.raw 'service killed in an import'
slowly | LIMIT=2 on1 pvesm import sub:105/vm-105-disk-1.raw raw+size - >>"$LOG" 2>&1
settled sub:105/vm-105-disk-1.raw 'command killed in an import'
ok 'repeated' on1 pvesm import sub:105/vm-105-disk-1.raw raw+size "$STORE/stream"
is 'with the right content' "$(digest "$STORE/sub/images/105/vm-105-disk-1.raw")" "$(digest "$STORE/data")"
ok 'and removed' on1 pvesm free sub:105/vm-105-disk-1.raw

# --- a directory that is gone, an array without room
ok 'a storage that is only online when mounted' on1 pvesm set sub --is_mountpoint yes
fs=$(findmnt -n -o FSTYPE "$STORE/sub")
like "with $fs mounted it is" "$(on1 pvesm status)" 'sub +blockio +active'
on1 umount -l "$STORE/sub"
within "$limit" 'unmounted: status ends in time' on1 pvesm status
like 'unmounted: it is not' "$OUT" 'sub +blockio +inactive'
like 'unmounted: others are' "$OUT" 'plain +dir +active'
run on1 pvesm alloc sub 106 vm-106-disk-0.raw 1M
unlike 'unmounted: nothing is allocated below the mount point' "$OUT" 'successfully'
finish
