#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Runs User-mode Linux's process in a root folder of its own, in which it finds its libraries, its memory (a file in a
# tmpfs) and the shared folders as /lab/TAG. To be run in private mount and process namespaces.
#
# usage: uml-enter.sh ROOT SHARES MEMORY PROGRAM ARGUMENT...
set -euo pipefail

root=$1 shares=$2 memory=$3
shift 3

mount --make-rprivate /
mount --bind "$root" "$root"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty ptmx; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts"
mount --bind /dev/pts "$root/dev/pts"
mount -t proc proc "$root/proc"
mount -t tmpfs -o "size=$((memory + 64))m" tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/lab"
while IFS=$'\t' read -r tag access folder; do
    mkdir "$root/lab/$tag"
    mount --bind "$folder" "$root/lab/$tag"
    [ "$access" = writable ] || mount -o remount,bind,ro "$root/lab/$tag"
done <"$shares"

# Not exec: the kernel shields the first process of a process namespace from the signal by which User-mode Linux ends
# itself when it panics.
cd "$root"
ulimit -c 0
env -i HOME=/root PATH=/usr/bin TMPDIR=/tmp "$(command -v chroot)" . "$@"
