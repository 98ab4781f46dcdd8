# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with run
# SPDX-License-Identifier: AGPL-3.0-or-later
# The engine qemu: a full machine with Debian's own kernel.

qemu_require() {
    require lab-qemu qemu-system-x86_64 setpriv
    [ "$(accelerator)" = kvm ] && SLOWNESS=1 || SLOWNESS=5
}

# On a busy machine an emulated kernel may measure its clock's frequency wrong by far. It is that of this machine's
# clock, and where that machine is itself a virtual one, /proc/cpuinfo has it.
clock_frequency() { # prints the kernel parameter
    grep -qm 1 '^flags.* hypervisor' /proc/cpuinfo || return 0
    awk -F: '/^cpu MHz/ { printf "tsc_early_khz=%d", $2 * 1000; exit }' /proc/cpuinfo
}

qemu_start() { # MEMORY CABLE: sets VM
    local cpus number qemu clock=
    cpus=$(nproc)
    qemu=(qemu-system-x86_64 -name lab -nodefaults -no-user-config -no-reboot -display none -monitor none
        -smp "$((cpus < 2 ? cpus : 2))" -m "$1")
    if [ "$(accelerator)" = kvm ]; then
        qemu+=(-machine "q35,accel=kvm" -cpu host)
    else
        # Under emulation each of these features costs time and gives nothing.
        clock="tsc=reliable $(clock_frequency)"
        qemu+=(-machine q35 -accel "tcg,thread=multi" -cpu "max,la57=off,pcid=off,smap=off,smep=off,umip=off")
    fi
    qemu+=(-kernel "$IMAGE/vmlinux" -initrd "$IMAGE/initramfs"
        -append "console=ttyS0 quiet panic=-1 mitigations=off nokaslr audit=0 no_timer_check random.trust_cpu=on nvme_core.multipath=Y $clock"
        -device virtio-rng-pci
        # Read-only, with an overlay that is removed as soon as it is open. User-mode Linux, which may run beside this, locks
        # the image as a whole, also when it only reads.
        -drive "file=$IMAGE/rootfs.ext4,file.locking=off,format=raw,if=none,id=root,snapshot=on,cache=unsafe"
        -device "virtio-blk-pci,drive=root" -serial "file:$RUN/console")
    [ -z "$2" ] || qemu+=(-netdev "dgram,id=cable,local.type=fd,local.str=$2" -device "virtio-net-pci,netdev=cable,mac=$(cable_mac)")
    for number in "${!SHARE_TAGS[@]}"; do
        qemu+=(-fsdev "local,id=fs$number,path=${SHARE_FOLDERS[number]},security_model=none,multidevs=remap${SHARE_READONLY[number]:+,readonly=on}"
            -device "virtio-9p-pci,fsdev=fs$number,mount_tag=${SHARE_TAGS[number]}")
    done
    note "starting the VM (qemu, $(accelerator))"
    # It must not outlive this script, however that ends.
    TMPDIR=$RUN setpriv --pdeathsig KILL "${qemu[@]}" >"$RUN/emulator" 2>&1 </dev/null &
    VM=$!
}
