# shellcheck shell=bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Packages that stand for others. Those of Proxmox VE are interested in the triggers that the real ones are interested
# in, and write down that they were pulled.

stand_in() { # NAME VERSION: prints its file
    local directory=$T/stand-in/$1
    mkdir -p "$directory/DEBIAN"
    printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: nobody <nobody@invalid>\nDescription: stand-in\n' \
        "$1" "$2" >"$directory/DEBIAN/control"
    stand_in_pack "$1"
}

stand_in_pack() { dpkg-deb --root-owner-group -b "$T/stand-in/$1" "$T/$1.deb" >>"$LOG" && printf '%s\n' "$T/$1.deb"; }

TRIGGERED=/var/tmp/triggered

stand_in_manager() { # NAME TRIGGER...: prints its file
    local name=$1 directory=$T/stand-in/$1
    mkdir -p "$directory/DEBIAN"
    printf 'interest-noawait %s\n' "${@:2}" >"$directory/DEBIAN/triggers"
    printf '#!/bin/sh\nif [ "$1" = triggered ]; then echo "%s: $2" >>%s; fi\n' "$name" "$TRIGGERED" \
        >"$directory/DEBIAN/postinst"
    chmod 755 "$directory/DEBIAN/postinst"
    stand_in "$name" 9.0
}

stand_ins_of_pve() { # prints the files of all that a node has before ours
    stand_in libpve-storage-perl 9.0.13
    stand_in_manager pve-manager pve-api-updates /usr/share/perl5/PVE
    stand_in_manager pve-ha-manager pve-api-updates
}

# The build before this one: today's under an older number, unless PREVIOUS names a directory with real ones.
previous() { # PACKAGE: prints its file; sets nothing
    local directory=$T/previous/$1 file
    if [ -n "${PREVIOUS:-}" ]; then
        for file in "$PREVIOUS/$1"_*.deb; do printf '%s\n' "$file"; done
        return
    fi
    mkdir -p "$T/previous"
    dpkg-deb -R "$(deb "$1")" "$directory" || return
    sed -i -e "s/^Version: .*/Version: $VERSION~previous/" -e "s/(>= $VERSION)/(>= $VERSION~previous)/" "$directory/DEBIAN/control"
    # The program says which one it is; nothing else is different.
    find "$directory" -name '*.cjs' -exec sed -i "s/\"$VERSION\"/\"$VERSION~previous\"/g" {} +
    (cd "$directory" && find . -type f -not -path './DEBIAN/*' -printf '%P\0' | xargs -0 md5sum >DEBIAN/md5sums)
    dpkg-deb --root-owner-group -b "$directory" "$T/previous/$1.deb" >>"$LOG" && printf '%s\n' "$T/previous/$1.deb"
}
