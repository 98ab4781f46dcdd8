#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: a VM with EFI disk, TPM state, cloud-init drive and disks is created with exact sizes, started and stopped;
# disks are plugged, unplugged, detached, found again by rescan and removed; destroying leaves no file.
. "$(dirname "$0")/lib/env.sh"
. "$here/lib/guest.sh"
one_node

must 'create' make_vm 100 --bios ovmf --efidisk0 "sub:1,format=$FMT,efitype=4m" --tpmstate0 sub:1,version=v2.0 \
    --scsi0 "sub:1,format=$FMT" --virtio0 "sub:0.125,format=$FMT" --ide2 sub:cloudinit --ciuser admin
config=$(on1 qm config 100)
efi=$(rounded 540672)
like 'EFI disk has the size of its firmware variables' "$config" "^efidisk0: .*size=($((efi >> 10))K|$((efi >> 20))M)"
like 'TPM state has 4 MiB' "$config" '^tpmstate0: .*size=4M'
is 'EFI disk is listed with that size' "$(size_of "$(vm_disk 100 efidisk0)")" "$efi"
like 'cloud-init drive has its fixed name' "$(plain "$config")" '^ide2: sub:100/vm-100-cloudinit\.(raw|qcow2),'
is 'five volumes' "$(listed sub --vmid 100 | wc -w)" 5

ok 'start' on1 qm start 100
like 'the TPM state is made on the first start' "$OUT" 'Successfully authored TPM state'
is 'running' "$(vm_status 100)" running
like 'cloud-init image is in its volume' "$(with_volume pve1 "$(vm_disk 100 ide2)" file -sL {})" 'ISO 9660|QCOW2'
fails 'a running VM is not destroyed' 'running' on1 qm destroy 100
ok 'stop' stop_vm 100
ok 'regenerate the cloud-init image' on1 qm cloudinit update 100
ok 'start again' on1 qm start 100
unlike 'the TPM state is still there' "$OUT" 'manufacturing'

# --- a disk on a running VM
ok 'plug a disk' on1 qm set 100 --scsi1 "sub:0.0625,format=$FMT"
plugged=$(vm_disk 100 scsi1)
like 'QEMU has it' "$(qmp 100 query-block)" 'drive-scsi1|scsi1'
ok 'unplug it' on1 qm set 100 --delete scsi1
like 'it is unused now' "$(on1 qm config 100)" "^unused0: $plugged"
ok 'remove it while the VM runs' on1 qm set 100 --delete unused0
true_that 'its file is gone' ! -e "$(path_of "$plugged")"
ok 'shut down hard' on1 qm stop 100

# --- detach, rescan, unlink
virtio=$(vm_disk 100 virtio0)
ok 'detach a disk' on1 qm set 100 --delete virtio0
like 'it is unused now' "$(on1 qm config 100)" "^unused0: $virtio"
ok 'attach it again' on1 qm set 100 --virtio1 "$virtio"
unlike 'it is not unused any more' "$(on1 qm config 100)" '^unused0'
must 'a volume nobody refers to' on1 pvesm alloc sub 100 vm-100-disk-9.raw 1M
ok 'rescan' on1 qm disk rescan --vmid 100
like 'finds it' "$(plain "$(on1 qm config 100)")" '^unused0: sub:100/vm-100-disk-9.raw'
is 'and nothing else' "$(on1 qm config 100 | grep -c '^unused')" 1
ok 'rescan again' on1 qm disk rescan --vmid 100
is 'finds no more' "$(on1 qm config 100 | grep -c '^unused')" 1
ok 'unlink' on1 qm disk unlink 100 --idlist unused0 --force 1
is 'gone' "$(listed sub --vmid 100 | grep -c disk-9)" 0
must 'another volume nobody refers to' on1 pvesm alloc sub 100 vm-100-disk-8.raw 1M

ok 'destroy, with unreferenced disks' on1 qm destroy 100 --purge 1 --destroy-unreferenced-disks 1
is 'no volume is listed' "$(listed sub)" ''
nothing_left
finish
