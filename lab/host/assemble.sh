#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Turns WORK/base.tar into the files of an image in WORK/result. Runs as root or under fakeroot, mounts nothing and
# needs no device.
#
# usage: assemble.sh WORK GUEST
set -euo pipefail
export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin
umask 022

work=$1 guest=$2
root=$work/root
result=$work/result

unpack_root() {
    mkdir "$root"
    tar -C "$root" --exclude='./dev/*' --numeric-owner -xf "$work/base.tar"
    rm "$work/base.tar"
    rm -rf "$root"/var/log/* "$root"/var/cache/* "$root"/var/lib/apt/lists/* \
        "$root"/etc/apt/apt.conf.d/99mmdebstrap "$root"/etc/resolv.conf \
        "$root"/etc/systemd/system/*.wants/apt-daily*.timer
    mkdir -p "$root"/{opt/lab,project,out}
}

# The same names in every VM, so that output can be compared.
configure_root() {
    echo lab >"$root/etc/hostname"
    printf '127.0.0.1 localhost\n127.0.1.1 lab\n' >"$root/etc/hosts"
    echo 00000000000000000000000000006c61 >"$root/etc/machine-id"
    echo InitiatorName=iqn.1993-08.org.debian:01:lab >"$root/etc/iscsi/initiatorname.iscsi"
    chmod 600 "$root/etc/iscsi/initiatorname.iscsi"
    mkdir -p "$root/etc/nvme"
    echo nqn.2014-08.org.nvmexpress:uuid:6c616200-0000-4000-8000-000000000001 >"$root/etc/nvme/hostnqn"
    echo 6c616200-0000-4000-8000-000000000001 >"$root/etc/nvme/hostid"
}

unpack_kernel() {
    local deb
    mv "$root/kernel" "$work/kernel"
    sort "$work/kernel/manifest" >"$result/manifest"
    mkdir "$work/unpacked"
    for deb in "$work"/kernel/*.deb; do
        dpkg-deb --fsys-tarfile "$deb" | tar -C "$work/unpacked" -x
        dpkg-deb -f "$deb" Package Version | sed 's/^[^ ]* //' | paste -sd' ' >>"$result/manifest"
    done
    modules=$(find "$work/unpacked" -type d -path '*/lib/modules/*' -name kernel | head -n 1)
    modules=${modules%/kernel}
    version=$(basename "$modules")
    echo "$version" >"$result/kernel-version"
}

# Storage, network and file systems; the rest, four fifths of the package, is for hardware that the VM does not have.
keep_modules() {
    local part kept=$root/usr/lib/modules/$version
    mkdir -p "$kept/kernel/drivers"
    cp -a "$modules"/modules.{builtin,builtin.modinfo,order} "$kept/"
    for part in arch block crypto fs lib mm net \
        drivers/block drivers/md drivers/nvme drivers/target drivers/virtio \
        drivers/char/hw_random drivers/scsi/device_handler; do
        [ -d "$modules/kernel/$part" ] || continue
        mkdir -p "$(dirname "$kept/kernel/$part")"
        cp -a "$modules/kernel/$part" "$kept/kernel/$part"
    done
    for part in scsi net char; do
        mkdir -p "$kept/kernel/drivers/$part"
        find "$modules/kernel/drivers/$part" -maxdepth 1 -name '*.ko*' -exec cp -t "$kept/kernel/drivers/$part" {} +
    done
    find "$kept" -name '*.ko.xz' -exec xz -d {} +
    depmod -b "$root" "$version"
}

# Unpacked here, as it takes an emulated machine seconds to do so. The header of a bzImage says where the payload lies.
unpack_vmlinux() {
    local bzimage offset length unpack
    bzimage=$(find "$work/unpacked/boot" -name 'vmlinuz-*' | head -n 1)
    word() { od -An -v -t "u$2" -j "$1" -N "$2" "$bzimage" | tr -d ' '; }
    offset=$((($(word 0x1f1 1) + 1) * 512 + $(word 0x248 4)))
    length=$(word 0x24c 4)
    payload() { tail -c "+$((offset + 1))" "$bzimage" | head -c "$length" || :; }
    case $(payload | od -An -v -t x1 -N 4 | tr -d ' ') in
        fd377a58) unpack=(xz -dc --single-stream) ;;
        28b52ffd) unpack=(zstd -dcq) ;;
        1f8b0*) unpack=(gzip -dc) ;;
        *) unpack=(false) ;;
    esac
    # The payload ends with four bytes that are no part of the stream: the unpackers complain, having written all.
    payload | "${unpack[@]}" >"$result/vmlinux" 2>/dev/null || :
    if [ "$(head -c 4 "$result/vmlinux" | od -An -t x1 | tr -d ' ')" != 7f454c46 ]; then
        echo "no vmlinux found in $bzimage, which is used as it is"
        cp "$bzimage" "$result/vmlinux"
    fi
}

make_initramfs() {
    local initramfs=$work/initramfs module number=10
    mkdir -p "$initramfs"/{bin,modules,proc,sys,dev,root}
    cp "$root/bin/busybox" "$initramfs/bin/"
    cp "$guest/initramfs-init" "$initramfs/init"
    chmod 755 "$initramfs/init"
    for module in virtio_pci virtio_blk 9pnet_virtio 9p crc32c_generic ext4; do
        modprobe -d "$root" -S "$version" --show-depends "$module" || : # built in, or gone in newer kernels
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >"$work/modules"
    while IFS= read -r module; do
        cp "$module" "$initramfs/modules/$((number++))-$(basename "$module")"
    done <"$work/modules"
    (cd "$initramfs" && find . | sort | cpio -o -H newc --quiet -R 0:0) >"$result/initramfs"
}

# Neither journal nor checksums: the image is never written to, what the VM writes goes to an overlay.
make_disk() {
    truncate -s 4G "$result/rootfs.ext4"
    mke2fs -q -F -t ext4 -m 0 -b 4096 -O ^has_journal,^metadata_csum,^resize_inode \
        -E lazy_itable_init=1,root_owner=0:0 -d "$root" "$result/rootfs.ext4"
}

unpack_root
configure_root
unpack_kernel
keep_modules
unpack_vmlinux
make_initramfs
make_disk
