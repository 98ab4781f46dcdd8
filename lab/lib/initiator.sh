# shellcheck shell=bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# The node's iSCSI initiator, with open-iscsi's own tool: for sessions that are not ours, and to look at ours.

# A dead path is found in seconds here, not in the default's minutes.
discover() { # TARGET [a|b]: makes a record for each portal
    local iqn setting
    iqn=$(iqn_of "$1")
    iscsiadm -m discovery -t sendtargets -p "$(portal "${2:-a}")" || return
    for setting in noop_out_interval noop_out_timeout; do
        iscsiadm -m node -T "$iqn" -o update -n "node.conn[0].timeo.$setting" -v 2 || return
    done
    iscsiadm -m node -T "$iqn" -o update -n node.session.timeo.replacement_timeout -v 5
}

login() { # TARGET [a|b]: over both portals, or that one
    iscsiadm -m node -T "$(iqn_of "$1")" ${2:+-p "$(portal "$2")"} --login
}

logout() { # TARGET [a|b]: all sessions, or that portal's
    iscsiadm -m node -T "$(iqn_of "$1")" ${2:+-p "$(portal "$2")"} --logout
}

forget() { # TARGET: its records and what discovery noted
    local f
    iscsiadm -m node -T "$(iqn_of "$1")" -o delete
    for f in a b; do iscsiadm -m discoverydb -t sendtargets -p "$(portal $f)" -o delete; done
    : # of the two portals mostly one was asked
}

rescan() { iscsiadm -m session --rescan; }

sessions() { # TARGET [COUNT]: prints the number of sessions that the kernel has, or checks it
    local file count=0 name
    for file in /sys/class/iscsi_session/*/targetname; do
        read -r name 2>/dev/null <"$file" || continue
        [ "$name" != "$(iqn_of "$1")" ] || count=$((count + 1))
    done
    if [ -n "${2:-}" ]; then [ "$count" = "$2" ] || { echo "$count sessions"; return 1; }; else echo "$count"; fi
}

disks() { # VOLUME [COUNT]: prints the SCSI disks that are paths to it; with COUNT, fails when they are not that many
    local folder id found=()
    for folder in /sys/block/sd*; do
        read -r id 2>/dev/null <"$folder/device/wwid" || continue
        [ "3${id#naa.}" != "$(lab-san wwid "$1")" ] || found+=("${folder##*/}")
    done
    [ ${#found[@]} = 0 ] || printf '%s\n' "${found[@]}"
    [ -z "${2:-}" ] || [ ${#found[@]} = "$2" ]
}

remove_disks() { # VOLUME: takes its paths off the node, as has to be done before the array takes the LUN away
    local disk
    for disk in $(disks "$1"); do
        blockdev --flushbufs "/dev/$disk"
        echo 1 >"/sys/block/$disk/device/delete" || return
    done
}

size_is() { # DEVICE MIB
    local size
    size=$(blockdev --getsize64 "$1") || return
    [ "$size" = $(($2 << 20)) ] || { echo "$size bytes"; return 1; }
}
