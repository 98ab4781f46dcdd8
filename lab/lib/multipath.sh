# shellcheck shell=bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Multipath maps, as multipathd sees them.

map_of() { echo "/dev/mapper/$(lab-san wwid "$1")"; } # VOLUME

# A failed path's disk may be running or offline, an active one's is running.
paths() { # VOLUME active|failed COUNT
    local wwid pattern
    wwid=$(lab-san wwid "$1")
    pattern="^$wwid $2 "
    [ "$2" = failed ] || pattern+=running
    [ "$(multipathd show paths raw format '%w %t %o' | grep -c "$pattern")" = "$3" ] || {
        multipathd show paths raw format '%d %w %t %o' | grep "$wwid"
        return 1
    }
}

map_complete() { # VOLUME: with both paths
    [ -b "$(map_of "$1")" ] && paths "$1" active 2
}

# A map whose paths are dead goes on queueing for a while: whoever reads it, udev above all, holds it open until then.
flush() { # VOLUME: removes the map
    local wwid
    wwid=$(lab-san wwid "$1")
    multipathd disablequeueing map "$wwid" >/dev/null
    until_true 10 multipath -f "$wwid"
}

resize_map() { [ "$(multipathd resize map "$(lab-san wwid "$1")")" = ok ]; } # VOLUME
