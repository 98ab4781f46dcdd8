#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: without the service, or with one that hangs, every command ends within seconds and says so, and other storages and
# running guests go on; a service that dies in the middle leaves nothing half done, and repeating the command works. The same
# for an array that is gone or refuses.
. "$(dirname "$0")/lib/env.sh"
. "$here/lib/guest.sh"
[ -n "$OURS" ] || skip_all "$SUBJECT has no service"
one_node

must 'a VM' make_vm 100 --scsi0 sub:0.125 --boot order=scsi0
disk=$(vm_disk 100 scsi0)
ok 'install the guest' install_guest "$disk"
ok 'start' on1 qm start 100
must 'a volume' on1 pvesm alloc sub 101 vm-101-disk-0.raw 4M
other=$(volid sub:101/vm-101-disk-0.raw)
everything=$(left_over)
measure() { # PVE's commands take their time to load, more so on a busy machine
    local start=$EPOCHREALTIME
    on1 pvesm apiinfo >/dev/null
    limit=$(awk -v t="$(since "$start")" 'BEGIN { print 5 + 2 * t }')
}

without() { # TEXT REGEX: what holds whenever the service does not answer, or its array does not
    measure
    within "$limit" "$1: status ends in time" on1 pvesm status
    like "$1: others are shown" "$OUT" 'plain +dir +active'
    like "$1: ours is not active" "$OUT" "sub +$TYPE +inactive"
    like "$1: and the reason is given" "$OUT" "$2"
    local c start_other
    for c in 'pvesm alloc sub 102 vm-102-disk-0.raw 4M' 'pvesm list sub' "pvesm free $other" \
        'qm set 100 --scsi1 sub:1' 'qm disk resize 100 scsi0 +1M'; do
        # shellcheck disable=SC2086
        within "$limit" "$1: $c ends in time" on1 $c
        like "$1: and says why" "$OUT" "$2"
        unlike "$1: without a Perl line number" "$OUT" '(Blockio|Storpool).*line [0-9]+'
    done
    like "$1: path needs nobody" "$(on1 pvesm path "$other")" '^/'
    [ -n "${MUTE:-}" ] || is "$1: nothing was made or removed" "$(left_over)" "$everything"
    ok "$1: qm list" on1 qm list
    ok "$1: the running guest goes on" guest_alive 100
    start_other=$(printf 'qm create 103 --memory 32 --kvm 0 --vga none --scsi0 %s && qm start 103' "$other")
    if [ -n "${SILENT:-}" ] && [ "$SUBJECT" = drbd ]; then
        ok "$1: another one starts, as its device is on the node" on1 sh -c "$start_other"
        ok "$1: and stops" on1 qm stop 103
    else
        fails "$1: another one does not start" "$2" on1 sh -c "$start_other"
    fi
    run on1 qm set 103 --delete scsi0
    run on1 sed -i '/^unused/d' /etc/pve/qemu-server/103.conf
    run on1 qm destroy 103
    ok "$1: the stock storage works" on1 pvesm alloc plain 104 vm-104-disk-0.raw 1M
    run on1 pvesm free plain:104/vm-104-disk-0.raw
}
recovered() { # TEXT
    like "$1: active again" "$(on1 pvesm status)" "sub +$TYPE +active"
    ok "$1: alloc" on1 pvesm alloc sub 102 vm-102-disk-0.raw 4M
    ok "$1: free" on1 pvesm free "$(volid sub:102/vm-102-disk-0.raw)"
    is "$1: everything is there" "$(listed sub) $(left_over)" "$disk $other $everything"
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
read -r starts _ missing <<<"$(tracks "$disk")"
is 'and lost nothing' "$starts $missing" '1 0'

# --- in the middle of something
before=$(left_over)
restart_soon() { # SECONDS: the service dies and comes back
    (sleep "$1" && service_kill pve1 KILL && service_start pve1) >>"$LOG" 2>&1 &
}
settled() { # VOLUME ID: the command before either did all of it or nothing
    local v=${1#sub:} end=$((SECONDS + 15))
    if [ "$(plain "$(listed sub --vmid "${v%%/*}")")" = "$1" ]; then
        ok "$2: done in spite of it, remove it" on1 pvesm free "$(volid "$1")"
    elif [[ $2 == *service* ]]; then
        run on1 pvesm free "$(asked "$1")" # what a killed service was about to make is removed by the next call on the same name
    fi
    until [ "$(left_over)" = "$before" ] || [ $SECONDS -ge $end ]; do sleep 0.2; done
    is "$2: nothing half done" "$(left_over)" "$before"
}
# what takes its time in an allocation
if [ -n "$SIM" ]; then
    slow=1G after=3
else
    slow=1500M after=1
    sim_slow() { on1 pvesm set sub --preallocation full; }
    sim_quick() { on1 pvesm set sub --delete preallocation; }
fi
ok 'allocations take long from now on' sim_slow silent
restart_soon $after
run on1 pvesm alloc sub 105 vm-105-disk-0.raw $slow
wait
printf '# alloc while the service was restarted: %s\n' "$(tail -n 1 <<<"$OUT")"
settled sub:105/vm-105-disk-0.raw 'service killed in an allocation'
ok 'repeated' on1 pvesm alloc sub 105 vm-105-disk-0.raw 100M
ok 'and removed' on1 pvesm free "$(volid sub:105/vm-105-disk-0.raw)"

ok 'they take long' sim_slow delay
(LIMIT=$after on1 pvesm alloc sub 105 vm-105-disk-0.raw $slow) >>"$LOG" 2>&1
settled sub:105/vm-105-disk-0.raw 'command killed in an allocation'
ok 'as quick as ever' sim_quick

random_file "$STORE/data" 60
{ perl -e 'print pack("Q<", 60 << 20)'; cat "$STORE/data"; } >"$STORE/stream"
slowly() { head -c 20000000 "$STORE/stream"; sleep 4; tail -c +20000001 "$STORE/stream"; }
taken=$(asked sub:105/vm-105-disk-1.raw)
restart_soon 2
slowly | on1 pvesm import "$taken" raw+size - >"$T/import" 2>&1
wait
printf '# import while the service was restarted: %s\n' "$(tail -n 1 "$T/import")"
if grep -q 'successfully imported' "$T/import"; then
    is 'it says it succeeded, and it did' "$(digest_of "$(volid sub:105/vm-105-disk-1.raw)")" "$(digest "$STORE/data")"
fi
settled sub:105/vm-105-disk-1.raw 'service killed in an import'
slowly | LIMIT=2 on1 pvesm import "$taken" raw+size - >>"$LOG" 2>&1
settled sub:105/vm-105-disk-1.raw 'command killed in an import'
ok 'repeated' on1 pvesm import "$taken" raw+size "$STORE/stream"
is 'with the right content' "$(digest_of "$(volid sub:105/vm-105-disk-1.raw)")" "$(digest "$STORE/data")"
ok 'and removed' on1 pvesm free "$(volid sub:105/vm-105-disk-1.raw)"

# --- an array that is gone, that hangs, that refuses
if [ -n "$SIM" ]; then
    ok 'start the guest' on1 qm start 100
    ok 'the guest runs' guest_alive 100

    sim_hang
    MUTE=1 SILENT=1 without 'the array hangs' "$ARRAY"
    sim_go_on
    recovered 'the array answers again'

    must 'nobody listens where the array was' array_gone
    SILENT=1 without 'the array is gone' "$ARRAY"
    ok 'it listens there again' array_back
    recovered 'the array is back'

    run wrong_key
    without 'wrong key' "$NO_KEY"
    unlike 'wrong key: it is shown nowhere' "$(cat "$LOG"; on1 cat /var/log/pve-blockio/log)" "$SECRET_KEY"
    ok 'the right key' right_key
    recovered 'the right key'

    if [ "$SUBJECT" = storpool ]; then
        must 'a template that is not there' on1 sed -i 's/template nvme/template none/' /etc/pve/storage.cfg
        within "$limit" 'template missing: status ends in time' on1 pvesm status
        like 'template missing: ours is not active' "$OUT" "sub +$TYPE +inactive"
        like 'template missing: and the reason is given' "$OUT" "template 'none'"
        like 'template missing: others are' "$OUT" 'plain +dir +active'
        ok 'template missing: the running guest goes on' guest_alive 100
        ok 'the right template' on1 sed -i 's/template none/template nvme/' /etc/pve/storage.cfg
        recovered 'the right template'
    fi

    sim_hang
    LIMIT=300 ok 'a guest stops while the array hangs' on1 qm stop 100 # though it waits for the detaching
    sim_go_on
    is 'it is stopped' "$(vm_status 100)" stopped
    ok 'it starts again' on1 qm start 100
    ok 'it runs' guest_alive 100
    ok 'it stops' stop_vm 100
    is 'its third start, on the very disk' "$(tracks "$disk" | cut -d' ' -f1)" 3
    ok 'destroy' on1 qm destroy 100
    ok 'free' on1 pvesm free "$other"
    nothing_left
    finish
    exit
fi

# --- a directory that is gone, an array without room
ok 'a storage that is only online when mounted' on1 pvesm set sub --is_mountpoint yes
fs=$(findmnt -n -o FSTYPE "$STORE/sub")
like "with $fs mounted it is" "$(on1 pvesm status)" "sub +$TYPE +active"
on1 umount -l "$STORE/sub"
within "$limit" 'unmounted: status ends in time' on1 pvesm status
like 'unmounted: it is not' "$OUT" "sub +$TYPE +inactive"
like 'unmounted: others are' "$OUT" 'plain +dir +active'
run on1 pvesm alloc sub 106 vm-106-disk-0.raw 1M
unlike 'unmounted: nothing is allocated below the mount point' "$OUT" 'successfully'
finish
