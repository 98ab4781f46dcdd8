# shellcheck shell=bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# A Debian system in a directory, writable and gone afterwards, over one that is made once and kept.

TREES=${XDG_CACHE_HOME:-$HOME/.cache}/pve-blockio-packages
: "${PACKAGES_MIRROR:=http://deb.debian.org/debian}"

# What a node of Proxmox VE has of all that the packages ask for or work with.
TREE_PACKAGES=systemd,systemd-sysv,dbus,udev,kmod,procps,perl,libjson-perl,libjson-xs-perl
TREE_PACKAGES+=,open-iscsi,multipath-tools,lvm2,attr,libcap2-bin

tree_base() { # RELEASE: prints the directory of one that nobody changes
    local packages=$TREE_PACKAGES line options=() base lock
    # Debian 12's is too old for us.
    [ "$1" = bookworm ] || packages+=,nodejs
    base=$TREES/$1-$(printf '%s' "$PACKAGES_MIRROR $packages" | sha256sum | cut -c 1-12)
    printf '%s\n' "$base"
    [ ! -e "$base" ] || return 0
    while IFS= read -r line; do
        options+=(--aptopt="$line")
    done < <(apt-config dump | grep -Ei '^Acquire::(https?::Proxy|Check-Valid-Until|Check-Date)[ :]' | sed 's/;$//')
    mkdir -p "$TREES"
    exec {lock}>"$TREES/lock"
    flock -w 900 "$lock" || return
    if [ ! -e "$base" ]; then
        rm -rf "$TREES/$1"-*
        mmdebstrap --variant=minbase --format=directory --include="$packages" "${options[@]}" \
            --aptopt='APT::Install-Recommends "false"' \
            --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
            "$1" "$base.new" "$PACKAGES_MIRROR" >&2 && mv "$base.new" "$base" || { rm -rf "$base.new"; return 1; }
    fi
    exec {lock}>&-
}

tree_over() { # BASE: sets ROOT
    [ -d "$1" ] || return
    ROOT=$T/root
    mkdir -p "$ROOT" "$T/upper" "$T/work"
    mount -t overlay overlay -o "lowerdir=$1,upperdir=$T/upper,workdir=$T/work" "$ROOT" 2>>"$LOG" ||
        cp -a --reflink=auto "$1/." "$ROOT/"
    # Package scripts ask whether they may start services; a test that wants none has no systemd either.
    rm -f "$ROOT/usr/sbin/policy-rc.d"
}

tree_unmount() {
    [ -n "${ROOT:-}" ] || return 0
    mountpoint -q "$ROOT/srv/fast" && umount "$ROOT/srv/fast"
    ! mountpoint -q "$ROOT" || umount "$ROOT" || umount -l "$ROOT"
}

# Everything that a package could leave: names and links, without what dpkg, systemd and logs keep for themselves.
tree_list() {
    (cd "$ROOT" && find . -xdev \( -path ./proc -o -path ./sys -o -path ./dev -o -path ./tmp -o -path ./root -o -path ./mnt -o -path ./srv \
        -o -path ./run -o -path ./var/lib/dpkg -o -path ./var/log/journal -o -path ./var/cache -o -path ./var/tmp \
        -o -path './var/log/dpkg.log' -o -path ./var/log/alternatives.log -o -path ./var/lib/systemd \) -prune \
        -o -printf '%p %y %l\n') | LC_ALL=C sort
}
