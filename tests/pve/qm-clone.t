#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: full clones of stopped and running VMs and of snapshots, templates, linked clones; a clone has the content, and
# neither side sees what the other writes; a template in use is protected where clones need it, and may go where not.
. "$(dirname "$0")/lib/env.sh"
. "$here/lib/guest.sh"
one_node

must 'create' make_vm 100 --bios ovmf --efidisk0 "sub:1,format=$FMT,efitype=4m" --tpmstate0 sub:1,version=v2.0 \
    --scsi0 "sub:0.125,format=$FMT" --ide2 sub:cloudinit
disk=$(vm_disk 100 scsi0)
random_file "$STORE/data" 30
fill "$disk" "$STORE/data" >>"$LOG" 2>&1

# --- full
ok 'full clone, stopped' on1 qm clone 100 101 --full 1
clone=$(vm_disk 101 scsi0)
like 'on the subject' "$(plain "$clone")" '^sub:101/'
ok 'same content' same "$clone" "$STORE/data"
is 'EFI disk has its size' "$(size_of "$(vm_disk 101 efidisk0)")" "$(rounded 540672)"
write_mark "$clone" 0x55 >>"$LOG"
ok 'writing to the clone leaves the source alone' same "$disk" "$STORE/data"
ok 'the clone starts' on1 qm start 101
ok 'and stops' on1 qm stop 101
ok 'full clone to the stock storage' on1 qm clone 100 102 --full 1 --storage plain --format raw
ok 'same content' same "$(vm_disk 102 scsi0)" "$STORE/data"
ok 'full clone back from there' on1 qm clone 102 103 --full 1 --storage sub --format "$FMT"
ok 'same content' same "$(vm_disk 103 scsi0)" "$STORE/data"
for id in 101 102 103; do ok "destroy $id" on1 qm destroy "$id"; done

# --- full, from a running guest: a mirror inside QEMU
must 'create a VM with the guest' make_vm 110 --scsi0 "sub:0.125,format=$FMT" --boot order=scsi0
running=$(vm_disk 110 scsi0)
ok 'install the guest' install_guest "$running"
ok 'start' on1 qm start 110
ok 'the guest runs' guest_alive 110
ok 'full clone, running' on1 qm clone 110 111 --full 1
read -r starts _ missing <<<"$(tracks "$(vm_disk 111 scsi0)")"
is 'a consistent copy' "$starts $missing" '1 0'
ok 'the source goes on' guest_alive 110
ok 'stop' stop_vm 110

# --- full, from a snapshot
if [ -n "$CAN_VM_SNAP" ]; then
    ok 'snapshot' on1 qm snapshot 110 s1
    before=$(tracks "$running")
    ok 'start' on1 qm start 110
    ok 'the guest runs' guest_alive 110
    ok 'stop' on1 qm stop 110
    ok 'full clone of the snapshot' on1 qm clone 110 112 --full 1 --snapname s1
    is 'the content of that time' "$(tracks "$(vm_disk 112 scsi0)")" "$before"
    isnt 'the source is further' "$(tracks "$running")" "$before"
    ok 'writing to the clone' write_mark "$(vm_disk 112 scsi0)" 0x77
    ok 'start the source' on1 qm start 110
    ok 'the guest runs' guest_alive 110
    if [ "$FMT" = raw ]; then
        ok 'full clone of the snapshot, running' on1 qm clone 110 113 --full 1 --snapname s1
        is 'the content of that time, and not of the other clone' "$(tracks "$(vm_disk 113 scsi0)")" "$before"
        ok 'the source goes on' guest_alive 110
        ok 'destroy it' on1 qm destroy 113
    fi
    ok 'stop' stop_vm 110
    if [ -n "$OURS" ]; then # stock types do not do it, or take the present
        ok 'linked clone of the snapshot' on1 qm clone 110 114 --full 0 --snapname s1
        linked=$(vm_disk 114 scsi0)
        is 'the content of that time' "$(tracks "$linked")" "$before"
        ok 'it starts from there' on1 qm start 114
        ok 'the guest runs' guest_alive 114
        ok 'stop' stop_vm 114
        is 'its own starts' "$(tracks "$linked" | cut -d' ' -f1)" 2
        now=$(tracks "$running")
        ok 'rollback of the source leaves it alone' on1 qm rollback 110 s1
        is 'the source is back' "$(tracks "$running")" "$before"
        isnt 'it was elsewhere' "$now" "$before"
        if [ -n "$CAN_CHAIN" ]; then
            # not asked of PVE, which would leave the guest locked
            fails 'the snapshot is kept by its clone, which is named' '(used by )?vm-114-disk-0( depends on it)?' \
                on1 perl -e 'use PVE::Storage; PVE::Storage::volume_snapshot_delete(PVE::Storage::config(), $ARGV[0], "s1")' "$running"
            is 'the clone is untouched' "$(tracks "$linked" | cut -d' ' -f1)" 2
            ok 'destroy the clone' on1 qm destroy 114
            ok 'the snapshot may go' on1 qm delsnapshot 110 s1
        else
            ok 'the snapshot may go' on1 qm delsnapshot 110 s1
            is 'the clone does not need it' "$(tracks "$linked" | cut -d' ' -f1)" 2
            ok 'destroy it' on1 qm destroy 114
        fi
    fi
    ok 'destroy it' on1 qm destroy 112
else
    skip 'full clone of a snapshot' "no snapshots on $FS"
fi
for id in 110 111; do ok "destroy $id" on1 qm destroy "$id"; done

# --- template, linked
ok 'make a template' on1 qm template 100
base=$(vm_disk 100 scsi0)
like 'its disk is a base' "$(plain "$base")" '^sub:100/base-100-disk'
fails 'a template does not start' 'template' on1 qm start 100
like 'full clone of a template' "$(on1 qm clone 100 104 --full 1 2>&1; echo $?)" '^0$'
ok 'same content' same "$(vm_disk 104 scsi0)" "$STORE/data"
if [ -n "$CAN_LINKED" ]; then
    ok 'linked clone' on1 qm clone 100 105
    linked=$(vm_disk 105 scsi0)
    ok 'same content' same "$linked" "$STORE/data"
    is 'listed under the name in the configuration' "$(listed sub --vmid 105 | tr ' ' '\n' | grep -c -Fx "$linked")" 1
    ok 'rescan' on1 qm disk rescan --vmid 105
    is 'does not take it for a lost one' "$(on1 qm config 105 | grep -c '^unused')" 0
    ok 'a second linked clone' on1 qm clone 100 106
    write_mark "$linked" 0x66 >>"$LOG"
    ok 'writing to one leaves the base alone' same "$base" "$STORE/data"
    ok 'and the other' same "$(vm_disk 106 scsi0)" "$STORE/data"
    ok 'a linked clone starts' on1 qm start 105
    ok 'and stops' on1 qm stop 105
    if [ -n "$CAN_CHAIN" ]; then
        fails 'the template is in use' 'in use by linked clone' on1 qm destroy 100
        for id in 104 105 106 100; do ok "destroy $id" on1 qm destroy "$id"; done
    else
        ok 'the template may go' on1 qm destroy 100
        ok 'the clones do not need it: one' has_mark "$linked" 0x66
        ok 'the clones do not need it: other' same "$(vm_disk 106 scsi0)" "$STORE/data"
        for id in 104 105 106; do ok "destroy $id" on1 qm destroy "$id"; done
    fi
else
    fails 'a linked clone is refused' 'not available|not support' on1 qm clone 100 105
    for id in 104 100; do ok "destroy $id" on1 qm destroy "$id"; done
fi
nothing_left
finish
