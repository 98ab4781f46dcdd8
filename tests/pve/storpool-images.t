#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: ISO and disk images come into StorPool with `pvesm import`, are listed each under its content type, serve as CDs
# and as sources of VM disks, go out again byte for byte, and leave nothing when freed or when their import fails.
. "$(dirname "$0")/lib/env.sh"
. "$here/lib/guest.sh"
[ "$SUBJECT" = storpool ] || skip_all "images as volumes: only storpool has them, this is $SUBJECT"
SUB_CONTENT=images,rootdir,iso
two_nodes

import_from() { on1 pvesm import "$1" raw+size "$2" "${@:3}"; } # VOLID FILE
imported() { sed -n "s/.*successfully imported '\(.*\)'.*/\1/p" <<<"$OUT"; }
column() { on1 pvesm list sub | awk -v v="$1" -v n="$2" '$1 == v { print $n }'; } # VOLID COLUMN
parent_of() { # VOLID
    on1 perl -e 'use PVE::Storage; my ($volid) = @ARGV;
        my ($info) = grep { $_->{volid} eq $volid } PVE::Storage::volume_list(PVE::Storage::config(), "sub", undef, "images")->@*;
        print $info->{parent} // "none", "\n"' "$1"
}

# --- import
data=$STORE/data
random_file "$data" 12 1
mkdir -p "$STORE/plain/template/iso" && cp "$data" "$STORE/plain/template/iso/debian-12.iso"
must 'a stream of an ISO image' on1 pvesm export plain:iso/debian-12.iso raw+size "$STORE/iso"
ok 'import it' import_from sub:debian-12.iso "$STORE/iso"
iso=$(imported)
like 'its name has the label and a global id' "$iso" '^sub:debian-12-sp-[a-z0-9]+\.[a-z0-9]+\.[a-z0-9]+\.iso$'
ok 'import a disk image' import_from sub:img-debian12.raw "$STORE/iso"
img=$(imported)
like 'likewise' "$img" '^sub:img-debian12-sp-[a-z0-9]+\.[a-z0-9]+\.[a-z0-9]+\.raw$'
is 'both are snapshots with the tags of the format, and nothing else is there' \
    "$(sp_objects | while read -r kind _ tags; do echo "$kind $(tr ' ' '\n' <<<"$tags" | sort | paste -sd' ')"; done | sort)" \
    'snapshot pve-comment=debian-12 pve-loc=test pve-type=iso pve=sub virt=pve
snapshot pve-comment=debian12 pve-loc=test pve-type=images pve=sub virt=pve'
fails 'a label that is taken' 'exist' import_from sub:debian-12.iso "$STORE/iso"
ok 'another name when that is allowed' import_from sub:debian-12.iso "$STORE/iso" -allow-rename 1
second=$(imported)
like 'the label is the next one' "$second" '^sub:debian-12-2-sp-.*\.iso$'
fails 'a name of another cluster: its label counts' 'exist' import_from sub:debian-12-sp-o.c.1.iso "$STORE/iso"
ok 'a name of another cluster' import_from sub:img-other-sp-o.c.1.raw "$STORE/iso"
other=$(imported)
like 'has its label, and a global id of here' "$other" '^sub:img-other-sp-.*\.raw$'
isnt 'not the one of there' "$other" sub:img-other-sp-o.c.1.raw
before=$(left_over)
head -c 1000000 "$STORE/iso" >"$STORE/short"
fails 'a stream that ends early' . import_from sub:short.iso "$STORE/short"
is 'leaves nothing' "$(left_over)" "$before"
for name in x.iso img-x.raw "${iso#*:}"; do
    fails "alloc of $name is refused" 'pvesm import' on1 pvesm alloc sub 100 "$name" 1M
done

# --- listing
is 'ISO images are listed as such' "$(listed sub --content iso)" "$(printf '%s\n' "$iso" "$second" | sort | paste -sd' ')"
is 'disk images as images' "$(listed sub --content images)" "$(printf '%s\n' "$img" "$other" | sort | paste -sd' ')"
is 'all together' "$(listed sub | wc -w)" 4
is 'the type of an ISO image' "$(column "$iso" 3)" iso
is 'the type of a disk image' "$(column "$img" 3)" images
is 'the size is exact' "$(size_of "$iso")" $(((12 << 20) + 1024))
is 'no guest has any' "$(listed sub --vmid 100)" ''
ok 'the API lists ISO images' on1 pvesh get nodes/pve1/storage/sub/content --content iso
like 'by name' "$OUT" "${iso#*:}"
unlike 'without disk images' "$OUT" "${img#*:}"

# --- as a CD
must 'a VM' make_vm 100
ok 'with the ISO image as CD' on1 qm set 100 --ide2 "$iso,media=cdrom"
fails 'as a disk it is refused' 'cdrom' on1 qm set 100 --scsi3 "$iso"
ok 'start' on1 qm start 100
like 'QEMU has it' "$(qmp 100 query-block)" "$(path_of "$iso")"
is 'read-only' "$(on1 blockdev --getro "$(path_of "$iso")")" 1
must 'another VM with the same CD' make_vm 101 --ide2 "$iso,media=cdrom"
ok 'starts' on1 qm start 101
ok 'stop the second' on1 qm stop 101
unlike 'without a complaint' "$OUT" 'busy|error|fail'
is 'the first still runs' "$(vm_status 100)" running
is 'and reads' "$(on1 head -c 1000 "$(path_of "$iso")" | digest)" "$(head -c 1000 "$data" | digest)"
fails 'it is not freed meanwhile' 'busy|open' on1 perl -e \
    'use PVE::Storage; PVE::Storage::vdisk_free(PVE::Storage::config(), shift)' "$iso"
ok 'eject it' on1 qm set 100 --ide2 none,media=cdrom
ok 'insert the other one' on1 qm set 100 --ide2 "$second,media=cdrom"
ok 'stop' on1 qm stop 100
true_that 'what was in the drive at the end is detached' ! -e "$(path_of "$second")"
ok 'rescan' on1 qm rescan
unlike 'takes no image for a lost disk' "$(on1 qm config 100)" 'unused'

# --- as the source of a disk
ok 'import-from the disk image' on1 qm set 100 --scsi0 "sub:0,import-from=$img,format=$FMT"
disk=$(vm_disk 100 scsi0)
like 'the first disk of the VM' "$disk" '^sub:vm-100-disk-0-sp-'
ok 'same content' same "$disk" "$data"
is 'a copy has no parent' "$(parent_of "$disk")" none
clone=$(on1 perl -e 'use PVE::Storage; print PVE::Storage::vdisk_clone(PVE::Storage::config(), @ARGV), "\n"' "$img" 100 | tail -n 1)
like 'a linked clone of the image' "$clone" '^sub:vm-100-disk-1-sp-'
is 'has it as its parent' "$(parent_of "$clone")" "$img"
ok 'same content' same "$clone" "$data"
write_mark "$clone" 0x55 >>"$LOG"
ok 'the image is what it was' same "$img" "$data"

# --- out again
for v in "$iso" "$img"; do
    ok "export ${v%-sp-*}" on1 pvesm export "$v" raw+size "$STORE/out"
    is 'both streams are identical' "$(digest "$STORE/out")" "$(digest "$STORE/iso")"
done
ok 'into the stock storage' on1 pvesm import plain:iso/back.iso raw+size "$STORE/out"
is 'byte for byte' "$(digest "$STORE/plain/template/iso/back.iso")" "$(digest "$data")"

# --- the end
ok 'free the clone' on1 pvesm free "$clone"
ok 'destroy the VMs' on1 sh -c 'qm destroy 100 && qm destroy 101'
is 'images survive their users' "$(listed sub | wc -w)" 4
true_that 'PVE leaves attached what it ejects' -e "$(path_of "$iso")"
ok 'the other node frees it' on2 pvesm free "$iso"
is 'it is gone' "$(listed sub --content iso)" "$second"
for v in "$second" "$img" "$other"; do ok "free ${v%-sp-*}" on1 pvesm free "$v"; done
is 'nothing is listed' "$(listed sub)" ''
nothing_left
finish
