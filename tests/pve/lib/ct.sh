# shellcheck shell=bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Containers from a template of a few files, mounted or, where the machine can, really started.

make_template() { # plain:vztmpl/tiny.tar.gz
    local d=$T/rootfs
    mkdir -p "$d"/{bin,dev,etc,proc,root,run,sbin,sys,tmp,var/log} "$STORE/plain/template/cache"
    printf '#!/bin/sh\n' >"$d/sbin/init"
    [ ! -e "$STORE/init" ] || cp "$STORE/init" "$d/sbin/init"
    chmod 755 "$d/sbin/init"
    echo 'hello from the template' >"$d/etc/motd"
    chown 1000:1000 "$d/tmp"
    tar -C "$d" --numeric-owner -czf "$STORE/plain/template/cache/tiny.tar.gz" .
}

make_ct() { # VMID [OPTION...]
    [ -e "$STORE/plain/template/cache/tiny.tar.gz" ] || make_template
    on1 pct create "$1" plain:vztmpl/tiny.tar.gz --ostype unmanaged --arch amd64 --hostname "ct$1" --unprivileged 1 "${@:2}"
}

# PVE's ext4 has multi-mount protection: e2fsck, resize2fs and a mount of what was not unmounted (a snapshot of a running
# container) wait half a minute to see whether another host writes.
no_mmp() { # VOLID...
    local v
    for v; do run with_volume pve1 "$v" tune2fs -f -O ^mmp {}; done
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

# What `pct start` needs beyond the Perl code: the hooks of pve-container at their places, and somebody who runs the unit.
runtime() { # NODE...
    local n src
    [ "$(uname -m)" = x86_64 ] || { echo 'the init of test containers is for x86_64'; return 1; }
    src=$(ls -d "$PVE_REF"/{,*[+_]}pve-container/src 2>/dev/null | head -n 1)
    on1 sh -c 'cd "$1" && cat >init.S && as -o init.o init.S && ld -static -o init init.o' - "$STORE" <"$here/lib/init.S" || return
    for n; do
        tar -C "$src" --mode=755 -c lxc-pve-prestart-hook lxc-pve-autodev-hook lxc-pve-poststop-hook |
            on "$n" sh -c 'mkdir -p /usr/share/lxc/hooks && tar -x --no-same-owner -C /usr/share/lxc/hooks' || return
        tar -C "$src" -c lxc-pve.conf lxc-pve-userns.conf | on "$n" sh -c 'cd /usr/share/lxc/config && mkdir -p common.conf.d userns.conf.d && tar -x --no-same-owner &&
            mv lxc-pve.conf common.conf.d/01-pve.conf && mv lxc-pve-userns.conf userns.conf.d/01-pve.conf' || return
        on "$n" sh -c 'cat >/usr/bin/systemctl && chmod 755 /usr/bin/systemctl' <<'S' || return
#!/bin/bash
case "$*" in
"start pve-container@"*)
    id=${2#*@}
    mkdir -p /run/pve
    i=0 # one process per unit: the one before has to be gone, its hook after the stop included
    while pgrep -xf "lxc-start -F -n $id" >/dev/null && [ $i -lt 100 ]; do i=$((i + 1)); sleep 0.2; done
    ( # a unit inherits nothing; a task whose pipe stayed open here would not end
        for fd in /proc/self/fd/*; do
            [ "${fd##*/}" -lt 3 ] || eval "exec ${fd##*/}>&-"
        done
        exec setsid lxc-start -F -n "$id" </dev/null >/dev/null 2>"/run/pve/ct-$id.stderr"
    ) &
    exec lxc-wait -n "$id" -s RUNNING -t 20
    ;;
is-active* | is-enabled* | is-system-running*) exit 3 ;;
esac
S
    done
}

ct_status() { on "${2:-pve1}" pct status "$1" | sed 's/status: //'; }
