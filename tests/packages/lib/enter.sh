#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# The first process of the machine: mounts what a container has, then becomes systemd.
set -e
root=$1 project=$2
mount --make-rprivate /
mount --rbind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for node in null zero full random urandom tty; do
    touch "$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
done
mkdir -p "$root"/dev/{pts,shm} "$root/srv/test"
mount -t devpts -o newinstance devpts "$root/dev/pts"
mount -t tmpfs tmpfs "$root/srv/test"
for part in tests/packages perl/t lab/lib; do
    mkdir -p "$root/srv/test/$part"
    mount --bind "$project/$part" "$root/srv/test/$part"
done
cd "$root"
pivot_root . mnt
umount -l /mnt
mount --make-rshared /
exec env -i container=pve-blockio-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --unit=multi-user.target --show-status=no
