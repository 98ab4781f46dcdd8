#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# What lab/record records, in the VM.
#
# usage: scenes.sh DIRECTORY
set -euo pipefail
out=$1
recorder=$(cd "$(dirname "$0")" && pwd)
lib=$recorder/../lib
for part in wait san initiator multipath nvme; do
    # shellcheck source=/dev/null
    . "$lib/$part.sh"
done

record() { # NAME TEXT
    udevadm settle
    perl "$recorder/tree.pl" "$2" >"$out/$1.tree"
}

# --- two LUNs, two portals; LVM on one map, a mounted partition on the other
target t 2
discover t
login t
for number in 0 1; do until_true 20 map_complete t-$number; done
pvcreate -q "$(map_of t-0)"
vgcreate -q vg "$(map_of t-0)"
lvcreate -q -n data -L 8M vg
sfdisk -q "$(map_of t-1)" <<<'start=1MiB, size=32MiB'
kpartx -a "$(map_of t-1)"
partition=$(find /dev/mapper -name "$(lab-san wwid t-1)*1")
mkfs.ext4 -q "$partition"
mkdir -p /mnt/data
mount "$partition" /mnt/data
record iscsi-multipath 'Two LUNs of an iSCSI target on two portals, multipath maps; LVM on LUN 0, a mounted partition on LUN 1.'
fabric_cut b
until_true 60 paths t-0 failed 1
record iscsi-path-lost 'The same after the loss of a portal.'
fabric_heal b
umount /mnt/data
vgchange -q -an vg
kpartx -d "$(map_of t-1)"
for number in 0 1; do flush t-$number && remove_disks t-$number; done
logout t

# --- two namespaces, two controllers
nvme_target n 2
# One with an NGUID beside its UUID, which the kernel shows first.
namespace=/sys/kernel/config/nvmet/subsystems/$(nqn_of n)/namespaces/2
echo 0 >"$namespace/enable"
echo 0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9 >"$namespace/device_nguid"
echo 1 >"$namespace/enable"
nvme_connect n
until_true 20 controllers live 2
for number in 0 1; do until_true 20 nvme_disk n-$number >/dev/null; done
record nvme-tcp 'Two namespaces of an NVMe subsystem over TCP on two portals.'
fabric_cut b
until_true 60 controllers connecting 1
record nvme-tcp-path-lost 'The same after the loss of a portal.'
