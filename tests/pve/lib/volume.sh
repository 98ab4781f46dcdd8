# shellcheck shell=bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Volumes: their paths, their contents, and what is left of them.

path_of() { on1 pvesm path "$1"; }
format_of() { case $1 in *.qcow2) echo qcow2 ;; *) echo raw ;; esac; }

random_file() { # FILE MIB [EXTRA_KIB]: random data with holes, and a size that is a multiple of 1 KiB only
    dd if=/dev/urandom of="$1" bs=1M count=$(($2 / 3)) status=none
    dd if=/dev/urandom of="$1" bs=1M count=$(($2 / 3)) seek=$(($2 - $2 / 3)) conv=notrunc status=none
    truncate -s $(($2 * 1048576 + ${3:-0} * 1024)) "$1"
}

digest() { sha256sum "$@" | cut -c1-64; } # FILE, else stdin

fill() { # VOLID FILE: make the volume hold the file
    on1 qemu-img convert -n -f raw -O "$(format_of "$1")" "$2" "$(path_of "$1")"
}

same() { # VOLID FILE: equal content, the longer one padded with zeros
    on1 qemu-img compare -f "$(format_of "$1")" -F raw "$(path_of "$1")" "$2"
}

write_mark() { # VOLID BYTE [OFFSET]: 64 KiB of that byte
    on1 qemu-io -f "$(format_of "$1")" -c "write -P $2 ${3:-1M} 64k" "$(path_of "$1")"
}

has_mark() { # VOLID BYTE [OFFSET]; qemu-io reports a pattern that does not match only in words
    local out
    out=$(on1 qemu-io -r -U -f "$(format_of "$1")" -c "read -P $2 ${3:-1M} 64k" "$(path_of "$1")") || return
    echo "$out"
    ! grep -q 'Pattern verification failed' <<<"$out"
}

size_of() { # VOLID: bytes, from the storage's list
    on1 pvesm list "${1%%:*}" | awk -v v="$1" '$1 == v { print $4 }'
}

listed() { # STORAGE [OPTION...]: volume IDs in one line
    on1 pvesm list "$@" | awk 'NR > 1 { print $1 }' | sort | paste -sd' '
}

left_over() { # what still lies in the subject's image directories, snapshots and temporary files included
    local but=() # stock types leave empty directories of guests behind
    [ "$SUBJECT" = blockio ] || but=(! \( -type d -empty \))
    find "$STORE/sub/images" -mindepth 1 "${but[@]}" -printf '%P\n' 2>/dev/null | sort
}

nothing_left() { is "${1:-nothing is left in the image directory}" "$(left_over)" ''; }

disk_of() { # GUEST_CONFIG KEY: volume ID, from the output of `qm config` or `pct config`
    sed -n "s/^$2: \([^,]*\).*/\1/p" <<<"$1"
}
vm_disk() { disk_of "$(on "${3:-pve1}" qm config "$1")" "$2"; }   # VMID KEY [NODE]
ct_disk() { disk_of "$(on "${3:-pve1}" pct config "$1")" "$2"; }  # VMID KEY [NODE]
