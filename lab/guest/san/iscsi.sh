# shellcheck shell=bash disable=SC2154 # variables are shared with lab-san
# SPDX-License-Identifier: AGPL-3.0-or-later
# lab-san: iSCSI targets, through the configfs of LIO.

backstores=$config/target/core/fileio_0

backstore() { # NAME: prints its folder, made on first use
    local folder=$backstores/$1 file
    file=$(file_of "$1")
    if [ ! -d "$folder" ]; then
        modprobe -a target_core_mod target_core_file iscsi_target_mod
        mkdir -p "$folder"
        echo "fd_dev_name=$file,fd_dev_size=$(stat -c %s "$file")" >"$folder/control"
        echo 1 >"$folder/enable"
        digest "$1" >"$folder/wwn/vpd_unit_serial" # the WWID follows from it
        echo 1 >"$folder/attrib/emulate_tpu"
        echo 1 >"$folder/attrib/emulate_tpws"
        # Some kernels' limits page is shorter than initiators expect; they send what is common, and that has to work.
        echo 65535 >"$folder/attrib/max_write_same_len"
    fi
    printf '%s\n' "$folder"
}

iscsi_resized() { # NAME FILE
    [ ! -e "$backstores/$1/control" ] || echo "fd_dev_size=$(stat -c %s "$2")" >"$backstores/$1/control"
}

portal_group() { printf '%s/target/iscsi/%s/tpgt_1' "$config" "$1"; } # IQN

iscsi() { # IQN [NAME...]
    local iqn=$1 group f name
    shift
    fabric_up
    modprobe -a target_core_mod iscsi_target_mod
    group=$(portal_group "$iqn")
    mkdir -p "$config/target/iscsi"
    [ ! -d "$group" ] || fail "target exists: $iqn"
    mkdir -p "$group"
    echo 0 >"$group/attrib/authentication"
    echo 1 >"$group/attrib/generate_node_acls"
    echo 1 >"$group/attrib/cache_dynamic_acls"
    echo 0 >"$group/attrib/demo_mode_write_protect"
    for name; do iscsi_add "$iqn" "$name"; done
    for f in "${fabrics[@]}"; do in_array mkdir "$group/np/${array_address[$f]}:3260"; done
    echo 1 >"$group/enable"
}

iscsi_add() { # IQN NAME [LUN]
    local group lun=${3:-0} folder
    group=$(portal_group "$1")
    [ -d "$group" ] || fail "no such target: $1"
    folder=$(backstore "$2")
    [ -n "${3:-}" ] || while [ -d "$group/lun/lun_$lun" ]; do lun=$((lun + 1)); done
    mkdir "$group/lun/lun_$lun"
    ln -s "$folder" "$group/lun/lun_$lun/$2"
}

iscsi_remove() { # IQN NAME
    local link
    for link in "$(portal_group "$1")"/lun/lun_*/"$2"; do
        [ -L "$link" ] || fail "target $1 has no volume $2"
        rm "$link"
        rmdir "$(dirname "$link")"
    done
}

chap() { # IQN USER PASSWORD
    local group
    group=$(portal_group "$1")
    printf '%s' "$2" >"$group/auth/userid"
    printf '%s' "$3" >"$group/auth/password"
    echo 1 >"$group/attrib/authentication"
}

iscsi_down() {
    local group item
    for group in "$config"/target/iscsi/iqn.*/tpgt_1; do
        [ -d "$group" ] || continue
        echo 0 >"$group/enable"
        for item in "$group"/lun/lun_*/*; do [ ! -L "$item" ] || rm "$item"; done
        for item in "$group"/np/*/ "$group"/lun/lun_*/ "$group"/acls/*/; do [ ! -d "$item" ] || rmdir "$item"; done
        rmdir "$group" "$(dirname "$group")"
    done
    for item in "$backstores"/*/; do [ ! -e "$item/enable" ] || rmdir "$item"; done
    [ ! -d "$backstores" ] || rmdir "$backstores"
}
