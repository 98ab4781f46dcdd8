#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: guests on the subject, shared by two nodes, migrate without copying: stopped and running VMs, there and back,
# snapshots and TPM state along; a running guest loses neither memory nor writes; containers migrate stopped. A live migration
# that breaks on either side leaves a guest that runs, or starts, where it was; one whose node failed starts on the other.
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

# --- a live migration that breaks
must 'create' make_vm 101 --scsi0 "sub:0.125,format=$FMT" --boot order=scsi0
disk=$(vm_disk 101 scsi0)
ok 'install the guest' install_guest "$disk"
ok 'start' on1 qm start 101
ok 'the guest runs' guest_alive 101
pid() { on "$1" cat /run/qemu-server/101.pid; } # NODE: of the guest's QEMU
breaks() { # NODE: QEMU on this node dies when both have been started, before the memory is on its way
    local migration target i
    : >"$T/migration" # that of the run before
    on1 qm migrate 101 pve2 --online </dev/null >"$T/migration" 2>&1 &
    migration=$!
    for ((i = 0; i < 600; i++)); do
        ! grep -q 'start remote tunnel' "$T/migration" || break
        sleep 0.05
    done
    target=$(pid pve2)
    kill -KILL "$([ "$1" = pve2 ] && echo "$target" || pid pve1)"
    case $SUBJECT in # what is open there shows DRBD's use
    joviandss | storpool) is 'both nodes had its disk' "$(sim_nodes)" 'pve1 pve2' ;;
    esac
    wait $migration
    isnt "live migration fails when QEMU dies on $1" $? 0
    cat "$T/migration" >>"$LOG"
    for ((i = 0; i < 50; i++)); do
        grep -qs '^State:[[:space:]]*[^Z]' "/proc/$target/status" || break
        sleep 0.1
    done
    true_that 'the target does not run' $i -lt 50
    like 'the guest belongs where it was' "$(on1 qm list)" ' 101 vm101 '
}
breaks pve2
ok 'the guest goes on' guest_alive 101
ok 'live migration, undisturbed' on1 qm migrate 101 pve2 --online
ok 'the guest goes on there' guest_alive 101 scsi0 pve2
ok 'and back' on2 qm migrate 101 pve1 --online
ok 'the guest goes on' guest_alive 101
[ -z "$SIM" ] || is 'nothing stays attached on the other node' "$(sim_nodes)" pve1
ok 'stop' stop_vm 101
read -r starts _ missing <<<"$(tracks "$disk")"
is 'one run, no write lost' "$starts $missing" '1 0'
ok 'start' on1 qm start 101
ok 'the guest runs' guest_alive 101
breaks pve1
is 'it is stopped' "$(vm_status 101)" stopped
fails 'the other node does not have it' 'does not exist' on2 qm start 101
ok 'it starts where it was' on1 qm start 101
ok 'the guest runs' guest_alive 101
[ -z "$SIM" ] || is 'only this node has its disk' "$(sim_nodes)" pve1

# --- a node that fails with its guest, which the HA manager starts on the other
kill -KILL "$(pid pve1)"
if [ "$SUBJECT" = storpool ]; then
    ok 'the node is down' sim_ask clients/11 --json '{"status":"down"}'
    fails 'before that is known nobody else starts it' 'does not exist' on2 qm start 101
fi
ok 'it is recovered' on2 sh -c 'mv /etc/pve/nodes/pve1/qemu-server/101.conf /etc/pve/nodes/pve2/qemu-server/ &&
    echo "{\"service_status\":{\"vm:101\":{\"state\":\"started\",\"node\":\"pve2\"}}}" >/etc/pve/ha/manager_status'
ok 'start on the other node' on2 qm start 101
ok 'the guest runs' guest_alive 101 scsi0 pve2
if [ "$SUBJECT" = storpool ]; then
    is 'only that node has its disk' "$(sim_nodes)" pve2
    ok 'the node is back' sim_ask clients/11 --json '{"status":"up"}'
    fails 'and does not get the disk' "belongs to node 'pve2'" with_volume pve1 "$disk" true
    is 'only the other node has its disk' "$(sim_nodes)" pve2
fi
ok 'the guest goes on' guest_alive 101 scsi0 pve2
ok 'stop' stop_vm 101 pve2
is 'its fourth start, on the very disk' "$(tracks "$disk" pve2 | cut -d' ' -f1)" 4
if [ "$SUBJECT" = joviandss ]; then
    run on2 pvesm free "$disk" # PVE ends with 0 all the same
    like 'while the dead one is logged in nothing is taken away' "$OUT" 'in use by iqn.*pve1'
    is 'the disk is there' "$(on2 pvesm list sub --vmid 101 | awk 'NR > 1 { print $1 }')" "$disk"
    ok 'the array drops its sessions' sim_ask initiators/iqn.1993-08.org.debian:01:pve1/die -X POST
fi
ok 'destroy' on2 qm destroy 101
run on2 rm /etc/pve/ha/manager_status
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
