#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves, for storages that can go back to the newest snapshot only: older ones are refused without harm, and what is in the
# way is named; once that is deleted the rollback brings content and size back, with memory the very guest that ran.
. "$(dirname "$0")/lib/env.sh"
. "$here/lib/guest.sh"
[ -z "$CAN_ROLLBACK_ANY" ] || skip_all "$SUBJECT goes back to any snapshot, see qm-snapshot.t"
one_node

must 'create' make_vm 100 --scsi0 "sub:0.125,format=$FMT" --scsi1 "sub:0.125,format=$FMT" --tpmstate0 sub:1,version=v2.0 --boot order=scsi0
disk=$(vm_disk 100 scsi0) other=$(vm_disk 100 scsi1)
ok 'install the guest' install_guest "$disk"
write_mark "$other" 0x41 >>"$LOG"
ok 'snapshot, stopped' on1 qm snapshot 100 fresh
fails 'the same name again' 'already used' on1 qm snapshot 100 fresh
ok 'start' on1 qm start 100
ok 'the guest runs' guest_alive 100
ok 'snapshot with memory' on1 qm snapshot 100 memory --vmstate 1
like 'its memory is a volume of the subject' "$(plain "$(on1 pvesm list sub)")" '^sub:100/vm-100-state-memory\.raw'
live_mark 100 scsi1 0x42 >>"$LOG"
sleep 1
ok 'snapshot without memory, running' on1 qm snapshot 100 disks
ok 'the guest goes on' guest_alive 100
is 'rescan does not take them for lost disks' "$(on1 qm disk rescan --vmid 100 >/dev/null; on1 qm config 100 | grep -c ^unused)" 0

# --- the newest
ok 'grow the disk' on1 qm resize 100 scsi1 +128M
ok 'rollback to disks' on1 qm rollback 100 disks
is 'the VM is stopped' "$(vm_status 100)" stopped
ok 'the other disk is as it was' has_mark "$other" 0x42
is 'and as large' "$(size_of "$other")" $((128 << 20))
read -r starts last missing <<<"$(tracks "$disk")"
is 'consistent' "$starts $missing" '1 0'

# --- older ones
before=$(left_over)
fails 'rollback to memory is refused, the newer one is named' 'delete disks first' on1 qm rollback 100 memory
fails 'rollback to fresh is refused, the newer ones are named in order' 'delete memory, disks first' on1 qm rollback 100 fresh
ok 'the present is untouched' has_mark "$other" 0x42
is 'so are all snapshots' "$(left_over)" "$before"
ok 'delete the newest' on1 qm delsnapshot 100 disks
ok 'rollback to memory' on1 qm rollback 100 memory
is 'the VM runs' "$(vm_status 100)" running
ok 'the guest goes on' guest_alive 100
ok 'the other disk is as it was' has_mark "$other" 0x41
ok 'delete the one with memory, running' on1 qm delsnapshot 100 memory
unlike 'its memory is gone' "$(listed sub)" state-memory
ok 'the guest goes on' guest_alive 100
ok 'stop' stop_vm 100
read -r starts last missing <<<"$(tracks "$disk")"
is 'it is the same run, and its disk fits its memory' "$starts $missing" '1 0'
ok 'the oldest one still works' on1 qm rollback 100 fresh
is 'never started' "$(tracks "$disk")" '0 0 0'

ok 'snapshot with memory, its name in capitals' on1 sh -c 'qm start 100 && qm snapshot 100 LAST_Up- --vmstate 1'
ok 'stop' stop_vm 100
ok 'rollback to it' on1 qm rollback 100 LAST_Up-
ok 'the guest goes on' guest_alive 100
ok 'stop' stop_vm 100
ok 'destroy with snapshots' on1 qm destroy 100
nothing_left
finish
