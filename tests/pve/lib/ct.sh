# shellcheck shell=bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Containers from a template of a few files. None is ever started: no service manager runs on the nodes.

make_template() { # plain:vztmpl/tiny.tar.gz
    local d=$T/rootfs
    mkdir -p "$d"/{bin,dev,etc,proc,root,run,sbin,sys,tmp,var/log} "$STORE/plain/template/cache"
    printf '#!/bin/sh\n' >"$d/sbin/init"
    chmod 755 "$d/sbin/init"
    echo 'hello from the template' >"$d/etc/motd"
    chown 1000:1000 "$d/tmp"
    tar -C "$d" --numeric-owner -czf "$STORE/plain/template/cache/tiny.tar.gz" .
}

make_ct() { # VMID [OPTION...]
    [ -e "$STORE/plain/template/cache/tiny.tar.gz" ] || make_template
    on1 pct create "$1" plain:vztmpl/tiny.tar.gz --ostype unmanaged --arch amd64 --hostname "ct$1" --unprivileged 1 "${@:2}"
}

# Run a shell script in the root directory of the mounted container.
in_ct() { # VMID SCRIPT [NODE]
    local node=${3:-pve1} rc
    on "$node" pct mount "$1" >/dev/null || return
    on "$node" sh -c 'cd "/var/lib/lxc/$1/rootfs" && eval "$2"' - "$1" "$2"
    rc=$?
    on "$node" pct unmount "$1" || return
    return "$rc"
}

file_in_ct() { in_ct "$1" "cat ./$2" "${3:-pve1}" 2>&1; } # VMID PATH [NODE]
