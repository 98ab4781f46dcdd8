#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: guests on the subject, shared by two nodes, migrate without copying: stopped and running VMs, there and back,
# snapshots and TPM state along; a running guest loses neither memory nor writes; containers migrate stopped.
. "$(dirname "$0")/lib/env.sh"
. "$here/lib/guest.sh"
. "$here/lib/ct.sh"
two_nodes

must 'create' make_vm 100 --scsi0 "sub:0.125,format=$FMT" --scsi1 "sub:0.125,format=$FMT" --ide2 sub:cloudinit \
    --tpmstate0 sub:1,version=v2.0 --boot order=scsi0
disk=$(vm_disk 100 scsi0)
ok 'install the guest' install_guest "$disk"
write_mark "$(vm_disk 100 scsi1)" 0x41 >>"$LOG"
before=$(left_over)

ok 'migrate, stopped' on1 qm migrate 100 pve2
like 'it lives on the other node' "$(on2 qm list)" ' 100 vm100 '
is 'its files are the same' "$(left_over)" "$before"
ok 'start there' on2 qm start 100
ok 'the guest runs' guest_alive 100 scsi0 pve2

for way in 'pve2 pve1' 'pve1 pve2'; do
    read -r from to <<<"$way"
    ok "live migration from $from to $to" on "$from" qm migrate 100 "$to" --online
    ok "the guest goes on on $to" guest_alive 100 scsi0 "$to"
    fails "it is gone from $from" 'does not exist' on "$from" qm status 100
done
if [ -n "$CAN_RAW_SNAP" ]; then # with TPM state in a raw file
    ok 'snapshot with memory on the other node' on2 qm snapshot 100 s1 --vmstate 1
    ok 'live migration of a VM with snapshots' on2 qm migrate 100 pve1 --online
else
    ok 'live migration back' on2 qm migrate 100 pve1 --online
fi
ok 'the guest goes on' guest_alive 100
ok 'stop' stop_vm 100
read -r starts last missing <<<"$(tracks "$disk")"
is 'one run on all its ways, no write lost' "$starts $missing" '1 0'
ok 'the other disk is as it was' has_mark "$(vm_disk 100 scsi1)" 0x41

if [ -n "$CAN_RAW_SNAP" ]; then
    ok 'migrate, stopped, with snapshots' on1 qm migrate 100 pve2
    ok 'rollback there, with memory' on2 qm rollback 100 s1
    ok 'the guest goes on' guest_alive 100 scsi0 pve2
    ok 'stop' stop_vm 100 pve2
    read -r starts _ missing <<<"$(tracks "$disk" pve2)"
    is 'the same run, and its disk fits its memory' "$starts $missing" '1 0'
    ok 'destroy on the other node' on2 qm destroy 100
else
    ok 'destroy' on1 qm destroy 100
fi
nothing_left 'nothing is left of the VM'

# --- a container
must 'create a container' make_ct 200 --rootfs sub:0.25 --mp0 "sub:$CT_SIZE,mp=/data"
ok 'write' in_ct 200 'echo one >root/f && echo two >data/f'
ok 'migrate' on1 pct migrate 200 pve2
is 'content there' "$(file_in_ct 200 root/f pve2) $(file_in_ct 200 data/f pve2)" 'one two'
ok 'write there' in_ct 200 'echo three >root/f' pve2
ok 'migrate back' on2 pct migrate 200 pve1
is 'content' "$(file_in_ct 200 root/f) $(file_in_ct 200 data/f)" 'three two'
ok 'destroy' on1 pct destroy 200
nothing_left 'nothing is left of the container'
finish
