#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: disk images come in through `qm disk import` and `import-from`, from files of several formats, from another VM's
# volume and from the storage's own import content; a failed import leaves nothing.
. "$(dirname "$0")/lib/env.sh"
. "$here/lib/guest.sh"
one_node

random_file "$STORE/data" 30
ok 'a qcow2 image' on1 qemu-img convert -f raw -O qcow2 "$STORE/data" "$STORE/data.qcow2"
ok 'a vmdk image' on1 qemu-img convert -f raw -O vmdk "$STORE/data" "$STORE/data.vmdk"

must 'create' make_vm 100
ok 'import a raw file' on1 qm disk import 100 "$STORE/data" sub --format "$FMT"
like 'it is unused' "$(plain "$(on1 qm config 100)")" '^unused0: sub:100/vm-100-disk-0'
ok 'same content' same "$(vm_disk 100 unused0)" "$STORE/data"
is 'same size' "$(size_of "$(vm_disk 100 unused0)")" $((30 << 20))
ok 'import a qcow2 file, straight to a bus' on1 qm disk import 100 "$STORE/data.qcow2" sub --format "$FMT" --target-disk scsi1
ok 'same content' same "$(vm_disk 100 scsi1)" "$STORE/data"
ok 'import-from a vmdk file' on1 qm set 100 --scsi2 "sub:0,import-from=$STORE/data.vmdk,format=$FMT"
ok 'same content' same "$(vm_disk 100 scsi2)" "$STORE/data"
ok 'import-from another volume' on1 qm set 100 --scsi3 "sub:0,import-from=$(vm_disk 100 scsi2),format=$FMT"
ok 'same content' same "$(vm_disk 100 scsi3)" "$STORE/data"

own=sub
[ -n "$CAN_FILES" ] || own=plain # that of another storage
ok 'an image in the import content' cp "$STORE/data.qcow2" "$STORE/$own/import/in.qcow2"
ok 'create a VM from it' make_vm 101 --scsi0 "sub:0,import-from=$own:import/in.qcow2,format=$FMT"
ok 'same content' same "$(vm_disk 101 scsi0)" "$STORE/data"
ok 'import-from the stock storage' on1 sh -c 'pvesm alloc plain 102 vm-102-disk-0.raw 30M'
fill plain:102/vm-102-disk-0.raw "$STORE/data" >>"$LOG" 2>&1
ok 'into the subject' on1 qm set 101 --scsi1 "sub:0,import-from=plain:102/vm-102-disk-0.raw,format=$FMT"
ok 'same content' same "$(vm_disk 101 scsi1)" "$STORE/data"

before=$(left_over)
l1=$((16#$(od -An -tx1 -j40 -N8 "$STORE/data.qcow2" | tr -d ' '))) # break the first entry of the L1 table
printf '\200\0\0\0\0\1\2\0' | dd of="$STORE/data.qcow2" bs=1 seek="$l1" conv=notrunc status=none
fails 'an image that is damaged' 'corrupt|failed' on1 qm disk import 100 "$STORE/data.qcow2" sub --format "$FMT"
fails 'an image that is not there' . on1 qm disk import 100 "$STORE/none.qcow2" sub
is 'failed imports left nothing' "$(left_over)" "$before"

for id in 100 101; do ok "destroy $id" on1 qm destroy "$id" --purge 1; done
is 'no guest disk is listed' "$(listed sub --content images)" ''
nothing_left
finish
