# SPDX-License-Identifier: AGPL-3.0-or-later
# shellcheck shell=bash
# A scratch directory for a suite, on XFS with reflink when we may mount one. Sets $work (removed at exit), $array
# (the directory for storages) and $reflink (yes or no).

suite_array() { # NAME [SIZE]
    work=$(mktemp -d "${TMPDIR:-/tmp}/pve-blockio-$1.XXXXXX")
    array=$work/array
    mkdir "$array"
    reflink=no
    trap suite_array_cleanup EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    if [ "$(id -u)" = 0 ] && command -v mkfs.xfs >/dev/null; then
        truncate -s "${2:-4G}" "$work/array.img"
        mkfs.xfs -q -m reflink=1 "$work/array.img"
        mount -o loop "$work/array.img" "$array"
        reflink=yes
    fi
    # shellcheck disable=SC2034 # for the suite
    readonly work array reflink
}

suite_array_cleanup() {
    local pid
    for pid in "${suite_services[@]:-}"; do
        [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || :
    done
    wait 2>/dev/null || :
    if mountpoint -q "$array"; then
        # Bases are immutable; nobody else may be in there by now.
        chattr -R -i "$array" 2>/dev/null || :
        umount "$array" || umount -l "$array"
    fi
    rm -rf "$work"
}
