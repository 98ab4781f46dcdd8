#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Shows the main job on the embedded array: a private service, one storage, a disk with real files through its life,
# and its stream beside dd. Leaves nothing behind. DEMO_MIB is the size of the speed image (default 2048).
set -euo pipefail

root=$(readlink -f "$(dirname "$0")/..")
work=$(mktemp -d "${TMPDIR:-/tmp}/pve-blockio-demo.XXXXXX")
service=

cleanup() {
    if [ -n "$service" ]; then
        kill "$service" 2>/dev/null || :
        wait "$service" 2>/dev/null || :
    fi
    if mountpoint -q "$work/array"; then umount "$work/array"; fi
    # A base is immutable, so that nothing overwrites it by accident.
    chattr -R -i "$work" 2>/dev/null || :
    rm -rf "$work"
}
trap cleanup EXIT

# Snapshots need a file system that shares blocks between files. As root the demo brings its own XFS.
mkdir "$work/array"
if [ "$(id -u)" = 0 ] && command -v mkfs.xfs >/dev/null; then
    truncate -s 12G "$work/array.img"
    mkfs.xfs -q -m reflink=1 "$work/array.img"
    mount -o loop "$work/array.img" "$work/array"
    where="an XFS file system in a file (snapshots and clones by reflink)"
else
    where="a plain directory (run as root to see snapshots and clones on XFS)"
fi

export PVE_BLOCKIO_SOCKET=$work/bridge.sock
export PVE_BLOCKIO_MANIFEST=$root/dist/manifest.json
export PVE_BLOCKIO_CLI=$root/bin/pve-blockio

cat <<TEXT

pve-blockio: array storage for Proxmox VE, here with its embedded array.

The service that runs once on each PVE node is started, then a storage of type 'blockio' is used through the same
Perl plugin that Proxmox VE loads. Directory: $where.

TEXT

"$root/bin/pve-blockio" serve --socket "$PVE_BLOCKIO_SOCKET" --log-level warn &
service=$!
for _ in $(seq 100); do
    [ -S "$PVE_BLOCKIO_SOCKET" ] && break
    sleep 0.05
done

# Proxmox VE's own modules where they are installed, otherwise the few stand-ins of the tests.
modules=("-I$root/perl/lib")
perl -MPVE::Storage -e 1 2>/dev/null || modules+=("-I$root/perl/t/lib")
perl "${modules[@]}" "$root/tools/demo.pl" "$work" "$root"
