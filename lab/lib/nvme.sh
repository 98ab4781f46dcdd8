# shellcheck shell=bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# NVMe/TCP with native multipath: one disk for each namespace. Files that use it say `# needs: nvme`.

# Ends the file where the kernel cannot do it.
nvme_needed() {
    # Not loaded: that is the connector's task.
    modprobe --dry-run -a nvme-tcp nvmet-tcp 2>/dev/null && return
    skip 'NVMe/TCP' "kernel $(uname -r) has no module nvme-tcp or nvmet-tcp"
    finish
    exit
}

nqn_of() { echo "nqn.2020-01.org.example:$1"; } # SUBSYSTEM

nvme_target() { # SUBSYSTEM COUNT [SIZE]: volumes SUBSYSTEM-0, SUBSYSTEM-1, ... as its namespaces 1, 2, ...
    local number names=()
    for ((number = 0; number < $2; number++)); do
        lab-san volume "$1-$number" "${3:-64M}" || return
        names+=("$1-$number")
    done
    lab-san nvme "$(nqn_of "$1")" "${names[@]}"
}

nvme_connect() { # SUBSYSTEM: over both fabrics
    local f
    modprobe nvme-tcp || return
    for f in a b; do
        nvme connect -t tcp -a "$(lab-san address $f)" -s 4420 -n "$(nqn_of "$1")" \
            --keep-alive-tmo=2 --reconnect-delay=1 --ctrl-loss-tmo=600 || return
    done
}

nvme_disconnect() { nvme disconnect -n "$(nqn_of "$1")"; } # SUBSYSTEM

# Another volume takes the number of a namespace, without the array asking anybody.
nvme_replace() { # SUBSYSTEM NUMBER VOLUME
    local namespace
    namespace=/sys/kernel/config/nvmet/subsystems/$(nqn_of "$1")/namespaces/$2
    echo 0 >"$namespace/enable" && lab-san volume "$3" 64M &&
        echo -n "/var/lib/lab-san/$3" >"$namespace/device_path" && lab-san uuid "$3" >"$namespace/device_uuid" &&
        echo 1 >"$namespace/enable"
}

controllers() { # STATE COUNT: as many controllers are in that state (live, connecting, ...)
    local file state count=0
    for file in /sys/class/nvme/nvme*/state; do
        read -r state 2>/dev/null <"$file" || continue
        [ "$state" != "$1" ] || count=$((count + 1))
    done
    [ "$count" = "$2" ] || { echo "$count controllers are $1"; return 1; }
}

# Its number follows the order of discovery, not that of the namespaces.
nvme_disk() { # VOLUME: prints the device
    local folder id
    for folder in /sys/block/nvme*n*; do
        case ${folder##*/} in *c*) continue ;; esac # a path, not a disk
        read -r id 2>/dev/null <"$folder/uuid" || continue
        [ "$id" != "$(lab-san uuid "$1")" ] || { echo "/dev/${folder##*/}"; return; }
    done
    return 1
}
