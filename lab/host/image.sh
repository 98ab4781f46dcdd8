# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with run
# SPDX-License-Identifier: AGPL-3.0-or-later
# The VM's image, for both engines: rootfs.ext4 (only ever opened read-only), vmlinux, initramfs, kernel-version and
# manifest (each package with its version).

IMAGE_PACKAGES=(
    # base
    systemd systemd-sysv dbus udev kmod busybox-static procps util-linux iproute2 jq
    # what the project runs on
    perl libjson-perl libjson-xs-perl
    # storage, as a node of Proxmox VE has it
    open-iscsi multipath-tools nvme-cli lvm2 sg3-utils e2fsprogs xfsprogs fdisk
)

image_packages() { # RELEASE
    printf '%s\n' "${IMAGE_PACKAGES[@]}"
    # Debian 12's Node is too old for the project; there the machine's own is lent (machine_folders).
    [ "$1" = bookworm ] || echo nodejs
}

image_digest() { # RELEASE
    {
        echo "$LAB_MIRROR"
        image_packages "$1"
        declare -f image_fill image_bootstrap
        cat "$lab/host/assemble.sh" "$lab/guest/initramfs-init"
    } | digest_of_input
}

image_require() { # RELEASE: sets IMAGE, IMAGE_RELEASE
    IMAGE_RELEASE=$1
    IMAGE=$CACHE/image/$1-$(image_digest "$1")
    cached "$IMAGE" image_fill
}

image_fill() { # WORK
    local work=$1 wrap=()
    require lab mmdebstrap depmod cpio xz zstd mke2fs
    # Packages are unpacked with their owners, which takes root or something like it.
    if [ "$(id -u)" != 0 ]; then
        require lab fakeroot newuidmap
        grep -qs "^$(id -un):" /etc/subuid || cannot "building an image takes root, or an entry for $(id -un) in /etc/subuid"
        wrap=(fakeroot)
    fi
    reachable "$LAB_MIRROR" "$IMAGE_RELEASE" "$work"
    log "building the image of Debian's $IMAGE_RELEASE, which takes one or two minutes"
    image_bootstrap "$work/base.tar" || return
    "${wrap[@]}" bash "$lab/host/assemble.sh" "$work" "$lab/guest"
}

image_bootstrap() { # TARFILE
    local include line apt_options=()
    include=$(image_packages "$IMAGE_RELEASE" | paste -sd,)
    # The same proxy as this machine's apt has, and the same opinion on the age of package lists.
    while IFS= read -r line; do
        apt_options+=(--aptopt="$line")
    done < <(apt-config dump | grep -Ei '^Acquire::(https?::Proxy|Check-Valid-Until|Check-Date)[ :]' | sed 's/;$//')

    # shellcheck disable=SC2016 # mmdebstrap gives the hook its $1
    mmdebstrap --variant=minbase --format=tar --include="$include" \
        --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Retries "3"' "${apt_options[@]}" \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/info/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --customize-hook='chroot "$1" sh -ec "
            mkdir /kernel; cd /kernel
            apt-get download \$(apt-cache depends linux-image-amd64 | sed -n \"s/^ *Depends: //p\")
            dpkg-query -W -f \"\\\${Package} \\\${Version}\\n\" >manifest"' \
        "$IMAGE_RELEASE" "$1" "$LAB_MIRROR"
}
