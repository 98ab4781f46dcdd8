# shellcheck shell=bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Volumes: their paths, their contents, and what is left of them.

path_of() { on1 pvesm path "$1"; }

# A command on a node with the volume's path for `{}`. What is not always there is activated as long as the command runs,
# unless somebody uses it already.
with_volume() { # NODE VOLID COMMAND...
    local node=$1 path word words=()
    if [ -n "$SIM" ]; then
        on "$node" perl -e 'use PVE::Storage;
            $ENV{PATH} = "/usr/sbin:/usr/bin:/sbin:/bin"; # in taint mode only what the plugin says has to be clean
            my ($volid, @command) = map { /^(.*)$/s } @ARGV;
            my $config = PVE::Storage::config();
            my $path = PVE::Storage::path($config, $volid);
            my $active = -e $path;
            PVE::Storage::activate_volumes($config, [$volid]) if !$active;
            system(map { $_ eq "{}" ? $path : $_ } @command);
            my $status = $?;
            PVE::Storage::deactivate_volumes($config, [$volid]) if !$active;
            exit($status >> 8 || $status & 127);' "${@:2}"
    else
        path=$(path_of "$2") || return
        for word in "${@:3}"; do
            [ "$word" != '{}' ] || word=$path
            words+=("$word")
        done
        on "$node" "${words[@]}"
    fi
}
format_of() { case $1 in *.qcow2) echo qcow2 ;; *) echo raw ;; esac; }

random_file() { # FILE MIB [EXTRA_KIB]: random data with holes, and a size that is a multiple of 1 KiB only
    dd if=/dev/urandom of="$1" bs=1M count=$(($2 / 3)) status=none
    dd if=/dev/urandom of="$1" bs=1M count=$(($2 / 3)) seek=$(($2 - $2 / 3)) conv=notrunc status=none
    truncate -s $(($2 * 1048576 + ${3:-0} * 1024)) "$1"
}

digest() { sha256sum "$@" | cut -c1-64; } # FILE, else stdin
digest_of() { with_volume "${2:-pve1}" "$1" sha256sum {} | cut -c1-64; } # VOLID [NODE]

fill() { # VOLID FILE: make the volume hold the file
    with_volume pve1 "$1" qemu-img convert -n -f raw -O "$(format_of "$1")" "$2" {}
}

same() { # VOLID FILE [NODE]: equal content, the longer one padded with zeros
    with_volume "${3:-pve1}" "$1" qemu-img compare -f "$(format_of "$1")" -F raw {} "$2"
}

write_mark() { # VOLID BYTE [OFFSET]: 64 KiB of that byte
    with_volume pve1 "$1" qemu-io -f "$(format_of "$1")" -c "write -P $2 ${3:-1M} 64k" {}
}

has_mark() { # VOLID BYTE [OFFSET]; qemu-io reports a pattern that does not match only in words
    local out
    out=$(with_volume pve1 "$1" qemu-io -r -U -f "$(format_of "$1")" -c "read -P $2 ${3:-1M} 64k" {}) || return
    echo "$out"
    ! grep -q 'Pattern verification failed' <<<"$out"
}

kib_of() { # VOLID: what it takes, in KiB
    if [ -n "$SIM" ]; then sim_kib "$1"; else du -k "$(path_of "$1")" | cut -f1; fi
}

size_of() { # VOLID: bytes, from the storage's list
    on1 pvesm list "${1%%:*}" | awk -v v="$1" '$1 == v { print $4 }'
}

listed() { # STORAGE [OPTION...]: volume IDs in one line
    on1 pvesm list "$@" | awk 'NR > 1 { print $1 }' | sort | paste -sd' '
}

left_over() { # what still lies in the subject, snapshots and temporary files included
    if [ -n "$SIM" ]; then sim_objects; return; fi
    local but=() # stock types leave empty directories of guests behind
    [ -n "$OURS" ] || but=(! \( -type d -empty \))
    find "$STORE/sub/images" -mindepth 1 "${but[@]}" -printf '%P\n' 2>/dev/null | sort
}

nothing_left() { is "${1:-nothing is left in the image directory}" "$(left_over)" ''; }

disk_of() { # GUEST_CONFIG KEY: volume ID, from the output of `qm config` or `pct config`
    sed -n "s/^$2: \([^,]*\).*/\1/p" <<<"$1"
}
# Some subjects put an ID of their own into each name.
volid() { # VOLID: what the volume with this name is really called; a name without that ID when there is none
    local found
    [ -z "$CAN_NAMES" ] || { echo "$1"; return; }
    found=$(on1 pvesm list "${1%%:*}" | awk 'NR > 1 { print $1 }' | sim_find "$1")
    echo "${found:-${1%%:*}:${1#*/}}"
}
asked() { # VOLID: how to ask for a volume of this name
    if [ -n "$CAN_NAMES" ]; then echo "$1"; else echo "${1%%:*}:${1#*/}"; fi
}
plain() { # TEXT: volume IDs in it as they would be without
    if [ -n "$CAN_NAMES" ]; then echo "$1"; else sim_plain <<<"$1"; fi
}

vm_disk() { disk_of "$(on "${3:-pve1}" qm config "$1")" "$2"; }   # VMID KEY [NODE]
ct_disk() { disk_of "$(on "${3:-pve1}" pct config "$1")" "$2"; }  # VMID KEY [NODE]
