#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: guests on a node's own stock storage migrate onto the subject of the other node, stopped (streams) and running
# (mirror over NBD), disks and sub-volumes of containers too; the source is removed; what PVE does not allow is refused.
. "$(dirname "$0")/lib/env.sh"
. "$here/lib/guest.sh"
. "$here/lib/ct.sh"
two_nodes

random_file "$STORE/data" 30
vm_on_plain() { # VMID
    make_vm "$1" --scsi0 plain:0.125,format=raw --scsi1 plain:0.125,format=raw --boot order=scsi0 >>"$LOG" 2>&1 &&
        install_guest "plain:$1/vm-$1-disk-0.raw" && fill "plain:$1/vm-$1-disk-1.raw" "$STORE/data"
}

# --- stopped
must 'a VM on the stock storage' vm_on_plain 100
must 'with an unused disk' on1 qm set 100 --scsi2 plain:0.0625,format=raw
run on1 qm set 100 --delete scsi2
ok 'migrate, stopped, onto the subject' on1 qm migrate 100 pve2 --targetstorage sub
config=$(on2 qm config 100) # its volumes belong to the other node now, and are read there
like 'its disks are on the subject' "$(plain "$config")" '^scsi0: sub:100/'
like 'the other one too' "$(plain "$config")" '^scsi1: sub:100/'
like 'the unused one too' "$(plain "$config")" '^unused0: sub:100/'
is 'as many as there were' "$(listed sub | wc -w)" 3
ok 'same content' same "$(disk_of "$config" scsi1)" "$STORE/data" pve2
is 'same size' "$(size_of "$(disk_of "$config" scsi1)")" $((1 << 27))
is 'the source is gone' "$(listed plain)" ''
ok 'start there' on2 qm start 100
ok 'the guest runs' guest_alive 100 scsi0 pve2
ok 'stop' stop_vm 100 pve2
ok 'destroy' on2 qm destroy 100 --purge 1

# --- running
must 'a VM on the stock storage' vm_on_plain 101
ok 'start' on1 qm start 101
ok 'the guest runs' guest_alive 101
ok 'migrate, running, onto the subject' on1 qm migrate 101 pve2 --online --with-local-disks --targetstorage sub
ok 'the guest goes on there' guest_alive 101 scsi0 pve2
ok 'stop' stop_vm 101 pve2
config=$(on2 qm config 101)
like 'its disks are on the subject' "$(plain "$config")" '^scsi0: sub:101/'
read -r starts _ missing <<<"$(tracks "$(disk_of "$config" scsi0)" pve2)"
is 'one run, no write lost' "$starts $missing" '1 0'
ok 'the other disk is the same' same "$(disk_of "$config" scsi1)" "$STORE/data" pve2
is 'the source is gone' "$(listed plain)" ''
ok 'destroy' on2 qm destroy 101

# --- containers
must 'a container on the stock storage' make_ct 200 --rootfs plain:0.25 --mp0 "plain:$CT_SIZE,mp=/data"
ok 'write' in_ct 200 'echo one >root/f && echo two >data/f && chown 100033 data/f'
ok 'migrate onto the subject' on1 pct migrate 200 pve2 --target-storage sub
like 'raw image' "$(plain "$(ct_disk 200 rootfs pve2)")" '^sub:200/vm-200-disk-[0-9]+\.raw'
if [ -n "$CAN_SUBVOL" ]; then
    like 'sub-volume' "$(ct_disk 200 mp0 pve2)" '^sub:200/subvol-200-disk-[0-9]+\.subvol'
else
    like 'another raw image' "$(plain "$(ct_disk 200 mp0 pve2)")" '^sub:200/vm-200-disk-[0-9]+\.raw'
fi
is 'content and owners' "$(in_ct 200 'cat root/f data/f && stat -c %u data/f' pve2 | paste -sd' ')" 'one two 100033'
is 'the source is gone' "$(listed plain --content rootdir)" ''
ok 'destroy' on2 pct destroy 200
nothing_left

# --- the limits of PVE: its list of types that may be copied from is fixed
if [ "$SUBJECT" = blockio ]; then
    mkdir -p "$STORE/sub/own"
    must 'the subject as a storage of each node' on1 pvesm add "$TYPE" own --path "$STORE/sub/own" --content images
    must 'a VM on it' make_vm 102 --scsi0 own:0.0625
    fails 'it does not migrate stopped' "storage type 'blockio' not supported|can't migrate" on1 qm migrate 102 pve2 --targetstorage plain
    ok 'and is unharmed' on1 qm start 102
    fails 'nor running' "storage type 'blockio' not supported|can't migrate" \
        on1 qm migrate 102 pve2 --online --with-local-disks --targetstorage plain
    ok 'and still runs' qmp 102 query-status
    ok 'stop' stop_vm 102
    ok 'destroy' on1 qm destroy 102
fi
finish
