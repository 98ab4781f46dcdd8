# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with run
# SPDX-License-Identifier: AGPL-3.0-or-later
# The engine uml: User-mode Linux, a kernel that runs as a process. One CPU; Debian's build of it has neither NVMe/TCP
# nor the ALUA handler.
#
# The kernel comes from a newer Debian than the rest: before Linux 6.13, User-mode Linux fails on CPUs with AMX. Kept
# are root/, the root folder of the kernel's process with the C library that it needs, and modules/, mounted in the VM.

: "${LAB_UML_RELEASE:=forky}"

# Without the rights to have them otherwise, namespaces come with a user namespace.
uml_namespaces() { # sets NAMESPACES
    NAMESPACES=(--mount --pid --fork)
    unshare "${NAMESPACES[@]}" true 2>/dev/null && return
    NAMESPACES+=(--user --map-root-user)
    unshare "${NAMESPACES[@]}" true 2>/dev/null
}

uml_require() {
    uml_namespaces || cannot "the engine uml needs mount and process namespaces, which are not allowed here"
    UML=$CACHE/uml/$LAB_UML_RELEASE-$({ echo "$LAB_MIRROR"; declare -f uml_fill; } | digest_of_input)
    cached "$UML" uml_fill
    SLOWNESS=1
}

uml_fill() { # WORK: unpacks the packages, got by an apt with lists of its own
    local work=$1 keyring=/usr/share/keyrings/debian-archive-keyring.gpg apt deb
    require lab xz
    reachable "$LAB_MIRROR" "$LAB_UML_RELEASE" "$work"
    log "fetching User-mode Linux from Debian's $LAB_UML_RELEASE"
    mkdir -p "$work"/apt/{lists/partial,cache/archives/partial} "$work"/{debs,result/root,result/modules}
    [ -e "$keyring" ] || keyring=
    echo "deb ${keyring:+[signed-by=$keyring] }$LAB_MIRROR $LAB_UML_RELEASE main" >"$work/apt/sources.list"
    apt=(apt-get -q -o Dir::Etc::SourceList="$work/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null
        -o Dir::State::Lists="$work/apt/lists" -o Dir::State::Status=/dev/null -o Dir::Cache="$work/apt/cache"
        # A testing release is valid for a week, a frozen mirror's copy is older.
        -o Acquire::Check-Valid-Until=false
        -o Acquire::Languages=none -o Acquire::Retries=3 -o APT::Sandbox::User=root)
    "${apt[@]}" update && (cd "$work/debs" && "${apt[@]}" download user-mode-linux libc6 libgcc-s1) || return
    for deb in "$work"/debs/*.deb; do
        dpkg-deb --fsys-tarfile "$deb" |
            tar -C "$work/result/root" --no-same-owner --exclude='./usr/share/*' --exclude='./etc/*' -x || return
        dpkg-deb -f "$deb" Package Version | sed 's/^[^ ]* //' | paste -sd' ' >>"$work/result/manifest"
    done
    mv "$work"/result/root/usr/lib/uml/modules/* "$work/result/modules/"
    ln -sf usr/lib "$work/result/root/lib"
    ln -sf usr/lib64 "$work/result/root/lib64"
    mkdir -p "$work"/result/root/{proc,dev,tmp,root,lab}
}

uml_start() { # MEMORY CABLE: sets VM
    local number wire=()
    [ -z "$2" ] || wire=("vec0:transport=fd,fd=$2,mac=$(cable_mac)")
    for number in "${!SHARE_TAGS[@]}"; do
        printf '%s\t%s\t%s\n' "${SHARE_TAGS[number]}" "${SHARE_READONLY[number]:-writable}" "${SHARE_FOLDERS[number]}"
    done >"$RUN/shares"
    printf 'lab-modules\treadonly\t%s\nlab-image\treadonly\t%s\nlab-run\twritable\t%s\n' \
        "$UML/modules" "$IMAGE" "$RUN" >>"$RUN/shares"
    note "starting the VM (uml)"
    # Writes go to a sparse file, disk, beside the image.
    setpriv --pdeathsig KILL unshare "${NAMESPACES[@]}" --kill-child=KILL \
        bash "$lab/host/uml-enter.sh" "$UML/root" "$RUN/shares" "$1" \
        linux.uml "mem=${1}M" initrd=/lab/lab-image/initramfs \
        ubd0=/lab/lab-run/disk,/lab/lab-image/rootfs.ext4 \
        umid=lab uml_dir=/tmp/ seccomp=auto quiet con=null con0=null,fd:1 "${wire[@]}" \
        > >(exec cat >"$RUN/console") 2>"$RUN/emulator" </dev/null &
    VM=$!
}
