#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: disks move between the subject and a stock storage, stopped and under a running guest, with the old copy removed
# or kept; disks are handed over to another VM.
. "$(dirname "$0")/lib/env.sh"
. "$here/lib/guest.sh"
one_node

must 'create' make_vm 100 --scsi0 "sub:0.125,format=$FMT" --scsi1 "sub:4.5,format=$FMT" --boot order=scsi0
disk=$(vm_disk 100 scsi0)
random_file "$STORE/data" 30
ok 'install the guest' install_guest "$disk"

# --- stopped
other=$(vm_disk 100 scsi1)
fill "$other" "$STORE/data" >>"$LOG" 2>&1
ok 'move away, stopped, old one removed' on1 qm disk move 100 scsi1 plain --format raw --delete 1
moved=$(vm_disk 100 scsi1)
like 'on the stock storage' "$moved" '^plain:100/'
ok 'same content' same "$moved" "$STORE/data"
true_that 'the old one is gone' ! -e "$(path_of "$other")"
ok 'move back, old one kept' on1 qm disk move 100 scsi1 sub --format "$FMT"
back=$(vm_disk 100 scsi1)
like 'on the subject' "$(plain "$back")" '^sub:100/'
ok 'same content' same "$back" "$STORE/data"
is 'same size' "$(size_of "$back")" $((9 << 29))
like 'the old one is unused' "$(on1 qm config 100)" "^unused0: $moved"
ok 'remove it' on1 qm set 100 --delete unused0
true_that 'a copy with holes has holes' "$(kib_of "$back")" -lt 100000

# --- running: a mirror inside QEMU, while the guest writes
ok 'start' on1 qm start 100
ok 'the guest runs' guest_alive 100
ok 'move away, running' on1 qm disk move 100 scsi0 plain --format raw --delete 1
away=$(vm_disk 100 scsi0)
like 'on the stock storage' "$away" '^plain:100/'
ok 'the guest goes on there' guest_alive 100
true_that 'the old one is gone' ! -e "$(path_of "$disk")"
ok 'move back, running' on1 qm disk move 100 scsi0 sub --format "$FMT" --delete 1
disk=$(vm_disk 100 scsi0)
ok 'the guest goes on there' guest_alive 100
fails 'TPM state and cloud-init aside, a disk does not move onto itself' 'same storage|already' \
    on1 qm disk move 100 scsi0 sub --format "$FMT"
ok 'stop' stop_vm 100
read -r starts _ missing <<<"$(tracks "$disk")"
is 'one run, no write lost' "$starts $missing" '1 0'
is 'nothing is left on the stock storage' "$(listed plain)" ''

# --- to another VM
must 'create another VM' make_vm 101
before=$(tracks "$disk")
ok 'reassign a disk' on1 qm disk move 100 scsi0 --target-vmid 101 --target-disk scsi3
handed=$(vm_disk 101 scsi3)
like 'it has the name of its new owner' "$(plain "$handed")" '^sub:101/vm-101-disk-0\.'
is 'same content' "$(tracks "$handed")" "$before"
unlike 'the old owner has it no more' "$(on1 qm config 100)" '^scsi0|^unused'
is 'one volume each' "$(listed sub --vmid 100 | wc -w) $(listed sub --vmid 101 | wc -w)" '1 1'
ok 'and back, as an unused disk' on1 sh -c 'qm set 101 --delete scsi3 &&
    qm disk move 101 unused0 --target-vmid 100 --target-disk unused3'
like 'there it is' "$(plain "$(on1 qm config 100)")" '^unused3: sub:100/vm-100-disk'
if [ -n "$CAN_VM_SNAP" ]; then
    ok 'snapshot' on1 qm snapshot 100 s1
    fails 'a disk in a snapshot is not reassigned' 'snapshot' on1 qm disk move 100 scsi1 --target-vmid 101 --target-disk scsi1
    ok 'delete the snapshot' on1 qm delsnapshot 100 s1
fi

for id in 100 101; do ok "destroy $id" on1 qm destroy "$id"; done
nothing_left
finish
