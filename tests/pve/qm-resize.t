#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: disks grow while the VM is stopped and while it runs, QEMU sees the new size, contents stay; shrinking is refused.
. "$(dirname "$0")/lib/env.sh"
. "$here/lib/guest.sh"
one_node

# the guest's disk is no SCSI one: its BIOS driver gives up when the capacity changes
must 'create' make_vm 100 --virtio0 "sub:0.125,format=$FMT" --scsi1 "sub:0.125,format=$FMT" --boot order=virtio0
disk=$(vm_disk 100 virtio0) other=$(vm_disk 100 scsi1)
ok 'install the guest' install_guest "$disk"
ok 'mark the other disk' write_mark "$other" 0x41

ok 'resize by an amount, stopped' on1 qm disk resize 100 virtio0 +1G
like 'the configuration has the new size' "$(on1 qm config 100)" '^virtio0: .*size=(1152M|1179648K)'
is 'the storage has it' "$(size_of "$disk")" $((1179648 * 1024))
run on1 qm disk resize 100 virtio0 100M # its exit code is 0: the error is that of a task
like 'shrinking is refused' "$OUT" 'shrinking disks is not supported'
is 'and the size stays' "$(size_of "$disk")" $((1179648 * 1024))

ok 'start' on1 qm start 100
ok 'the guest runs' guest_alive 100 virtio0
ok 'resize to a size, running' on1 qm disk resize 100 virtio0 2G
is 'the storage has it' "$(size_of "$disk")" $((2 << 30))
like 'QEMU has it' "$(qmp 100 query-block)" '"virtual-size":2147483648'
ok 'resize the other disk, running' on1 qm disk resize 100 scsi1 +7M
ok 'the guest goes on' guest_alive 100 virtio0
ok 'stop' stop_vm 100
read -r starts last missing <<<"$(tracks "$disk")"
is 'one start, no write lost' "$starts $missing" '1 0'
true_that 'the guest did write' "$last" -gt 0
ok 'the mark is still there' has_mark "$other" 0x41
ok 'the new room reads as zeros' has_mark "$disk" 0 1500M

ok 'destroy' on1 qm destroy 100
nothing_left
finish
