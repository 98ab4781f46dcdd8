# shellcheck shell=bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# The array side: targets with LUNs, and what happens to the network. More of it: lab-san help.

iqn_of() { echo "iqn.2020-01.org.example:$1"; } # TARGET
portal() { echo "$(lab-san address "$1"):3260"; } # a|b

target() { # TARGET COUNT [SIZE]: volumes TARGET-0, TARGET-1, ... as its LUNs 0, 1, ... on both portals
    local number names=()
    for ((number = 0; number < $2; number++)); do
        lab-san volume "$1-$number" "${3:-64M}" || return
        names+=("$1-$number")
    done
    lab-san iscsi "$(iqn_of "$1")" "${names[@]}"
}

add_lun() { # TARGET VOLUME [SIZE] [LUN]: a new volume, as its LUN of that number or the lowest free one
    lab-san volume "$2" "${3:-64M}" && lab-san iscsi-add "$(iqn_of "$1")" "$2" ${4:+"$4"}
}

remove_lun() { lab-san iscsi-remove "$(iqn_of "$1")" "$2"; } # TARGET VOLUME

fabric_cut() { lab-san fabric "$1" down; }  # a|b: the node's port loses its carrier
fabric_mute() { lab-san fabric "$1" mute; } # a|b: packets go to the array, none comes back
fabric_heal() { lab-san fabric "$1" up; }   # a|b: after either
silent_portal() { lab-san silent "$1"; }    # a|b: prints ADDRESS:PORT that accepts connections and never says a word
