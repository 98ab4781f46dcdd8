#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: snapshots of a stopped and of a running VM, with and without its memory; rollback to any of them brings back the
# disks' content, and with memory the very guest that ran; deleting one leaves the others; nothing stays behind.
. "$(dirname "$0")/lib/env.sh"
. "$here/lib/guest.sh"
[ -n "$CAN_ROLLBACK_ANY" ] || skip_all "$SUBJECT goes back to the newest snapshot only, see qm-snapshot-newest.t"
[ -n "$CAN_VM_SNAP" ] || refused=1
one_node

tpm=() # where TPM state is a raw file, only the storage can take its snapshot
[ -z "$CAN_RAW_SNAP" ] || tpm=(--tpmstate0 sub:1,version=v2.0)
must 'create' make_vm 100 --scsi0 "sub:0.125,format=$FMT" --scsi1 "sub:0.125,format=$FMT" "${tpm[@]}" --boot order=scsi0
disk=$(vm_disk 100 scsi0) other=$(vm_disk 100 scsi1)

if [ -n "${refused:-}" ]; then
    fails 'a snapshot is refused without harm' 'snapshot feature is not available' on1 qm snapshot 100 s1
    unlike 'no trace in the configuration' "$(on1 cat /etc/pve/qemu-server/100.conf)" '^\[s1\]|^(lock|parent|snapstate):'
    ok 'destroy' on1 qm destroy 100
    nothing_left
    finish
    exit
fi

ok 'install the guest' install_guest "$disk"
write_mark "$other" 0x41 >>"$LOG"
ok 'snapshot, stopped' on1 qm snapshot 100 fresh
fails 'the same name again' 'already used' on1 qm snapshot 100 fresh
together() { # how many volumes each request took snapshots of
    sim_ask journal | jq -r '.[] | select(.outcome == "ok") |
        select(.request == "VolumesGroupSnapshot" or .request == "VolumeSnapshot") | .body.volumes // [.] | length' | paste -sd' '
}
[ "$SUBJECT" != storpool ] || is 'its disks and its TPM state at one instant' "$(together)" 3

# --- running
ok 'start' on1 qm start 100
ok 'the guest runs' guest_alive 100
ok 'snapshot with memory' on1 qm snapshot 100 memory --vmstate 1
like 'its memory is a volume of the subject' "$(plain "$(on1 pvesm list sub)")" '^sub:100/vm-100-state-memory\.raw'
live_mark 100 scsi1 0x42 >>"$LOG"
sleep 1
ok 'snapshot without memory, running' on1 qm snapshot 100 disks
ok 'the guest goes on' guest_alive 100
[ "$SUBJECT" != storpool ] || is 'each time all of them at one instant' "$(together)" '3 3 3'
is 'three snapshots and the present' "$(on1 qm listsnapshot 100 | grep -c -- '->')" 4
is 'rescan does not take them for lost disks' "$(on1 qm disk rescan --vmid 100 >/dev/null; on1 qm config 100 | grep -c ^unused)" 0

# --- back, with memory
ok 'rollback to memory' on1 qm rollback 100 memory
is 'the VM runs' "$(vm_status 100)" running
ok 'the guest goes on' guest_alive 100
ok 'the other disk is as it was' has_mark "$other" 0x41
ok 'stop' stop_vm 100
read -r starts last missing <<<"$(tracks "$disk")"
is 'it is the same run, and its disk fits its memory' "$starts $missing" '1 0'
true_that 'it started from an earlier number' "$last" -gt 0

# --- back, disks only, to a newer snapshot
ok 'rollback to disks' on1 qm rollback 100 disks
is 'the VM is stopped' "$(vm_status 100)" stopped
ok 'the other disk is as it was' has_mark "$other" 0x42
read -r starts last missing <<<"$(tracks "$disk")"
is 'consistent' "$starts $missing" '1 0'
ok 'start from it' on1 qm start 100
ok 'the guest runs' guest_alive 100
ok 'stop' stop_vm 100
is 'its second start' "$(tracks "$disk" | cut -d' ' -f1)" 2

# --- back to the oldest
ok 'rollback to fresh' on1 qm rollback 100 fresh
is 'never started' "$(tracks "$disk")" '0 0 0'
ok 'the other disk is as it was' has_mark "$other" 0x41
ok 'rollback to memory again, from there' on1 qm rollback 100 memory
ok 'the guest goes on' guest_alive 100

# --- removal, running and stopped
ok 'delete a snapshot, running' on1 qm delsnapshot 100 disks
ok 'the guest goes on' guest_alive 100
ok 'stop' stop_vm 100
ok 'delete the one with memory' on1 qm delsnapshot 100 memory
unlike 'its memory is gone' "$(listed sub)" state-memory
ok 'the oldest one still works' on1 qm rollback 100 fresh
is 'never started' "$(tracks "$disk")" '0 0 0'

# --- a size that is no multiple of 4 KiB: a file system may ask for that once blocks are shared
must 'create a VM with a disk of odd size' make_vm 101 --scsi0 "sub:0.1,format=$FMT"
ok 'snapshot' on1 qm snapshot 101 s1
ok 'it still starts' on1 qm start 101
ok 'stop' stop_vm 101

# --- any of them, in any order
only=$(vm_disk 101 scsi0)
for i in 2 3 4 5; do
    write_mark "$only" 0x4$i >>"$LOG"
    ok "snapshot s$i" on1 qm snapshot 101 s$i
done
write_mark "$only" 0x46 >>"$LOG"
back_to() { # NUMBER
    ok "rollback to s$1" on1 qm rollback 101 s$1
    ok "the content of s$1" has_mark "$only" "0x4$1"
}
back_to 3
ok 'delete one from the middle' on1 qm delsnapshot 101 s4
ok 'delete the oldest' on1 qm delsnapshot 101 s1
back_to 5
back_to 2
ok 'delete the one it was rolled back to' on1 qm delsnapshot 101 s2
ok 'the present is untouched' has_mark "$only" 0x42
back_to 3
ok 'delete the newest' on1 qm delsnapshot 101 s5
ok 'the present is untouched' has_mark "$only" 0x43
back_to 3
ok 'delete the last' on1 qm delsnapshot 101 s3
ok 'the present is untouched' has_mark "$only" 0x43
is 'only the present is left' "$(on1 qm listsnapshot 101 | grep -c -- '->')" 1
ok 'destroy' on1 qm destroy 101

ok 'snapshot with memory, its name in capitals' on1 sh -c 'qm start 100 && qm snapshot 100 LAST_Up- --vmstate 1'
like 'its memory has that name' "$(plain "$(on1 sed -n '/^\[LAST_Up-\]/,$p' /etc/pve/qemu-server/100.conf)")" \
    '^vmstate: sub:100/vm-100-state-LAST_Up-\.raw'
ok 'stop' stop_vm 100
ok 'rollback to it' on1 qm rollback 100 LAST_Up-
ok 'the guest goes on' guest_alive 100
ok 'stop' stop_vm 100
ok 'destroy with snapshots' on1 qm destroy 100
nothing_left
finish
