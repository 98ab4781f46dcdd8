# shellcheck shell=bash disable=SC2154 # variables are shared with lab-san
# SPDX-License-Identifier: AGPL-3.0-or-later
# lab-san: NVMe/TCP subsystems, through the configfs of nvmet.

nvme() { # NQN NAME...
    local nqn=$1 subsystem number=0 name f port
    shift
    fabric_up
    modprobe -a nvmet nvmet-tcp
    subsystem=$config/nvmet/subsystems/$nqn
    [ ! -d "$subsystem" ] || fail "subsystem exists: $nqn"
    mkdir "$subsystem"
    echo 1 >"$subsystem/attr_allow_any_host"
    digest "$nqn" | cut -c1-20 >"$subsystem/attr_serial"
    for name; do
        number=$((number + 1))
        mkdir "$subsystem/namespaces/$number"
        file_of "$name" >"$subsystem/namespaces/$number/device_path"
        uuid "$name" >"$subsystem/namespaces/$number/device_uuid"
        echo 1 >"$subsystem/namespaces/$number/enable"
    done
    for f in "${fabrics[@]}"; do
        port=$config/nvmet/ports/$(printf '%d' "'$f")
        if [ ! -d "$port" ]; then
            mkdir "$port"
            echo tcp >"$port/addr_trtype"
            echo ipv4 >"$port/addr_adrfam"
            echo "${array_address[$f]}" >"$port/addr_traddr"
            echo 4420 >"$port/addr_trsvcid"
        fi
        in_array ln -s "$subsystem" "$port/subsystems/$nqn"
    done
}

nvme_resized() { # FILE
    local namespace
    for namespace in "$config"/nvmet/subsystems/*/namespaces/*; do
        [ -e "$namespace/revalidate_size" ] || continue
        [ "$(cat "$namespace/device_path")" != "$1" ] || echo 1 >"$namespace/revalidate_size"
    done
}

nvme_down() {
    local item
    for item in "$config"/nvmet/ports/*/subsystems/*; do [ ! -L "$item" ] || rm "$item"; done
    for item in "$config"/nvmet/ports/*/; do [ ! -d "$item" ] || rmdir "$item"; done
    for item in "$config"/nvmet/subsystems/*/namespaces/*/; do
        [ -d "$item" ] || continue
        echo 0 >"$item/enable"
        rmdir "$item"
    done
    for item in "$config"/nvmet/subsystems/*/; do [ ! -d "$item" ] || rmdir "$item"; done
}
