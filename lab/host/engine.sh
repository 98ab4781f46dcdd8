# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with run
# SPDX-License-Identifier: AGPL-3.0-or-later
# Which engine is used. With KVM that is qemu; without, programs in User-mode Linux run several times faster than in
# an emulated machine.

engine_choose() { # auto|qemu|uml: sets ENGINE
    case $1 in
        qemu | uml) ENGINE=$1 ;;
        auto)
            if [ "$(accelerator)" = tcg ] && uml_namespaces; then ENGINE=uml; else ENGINE=qemu; fi
            ;;
        *) die "no such engine: $1 (there are auto, qemu, uml)" ;;
    esac
}

# A /dev/kvm without Intel's or AMD's hardware support behind it (kvm_pvm) only takes kernels made for it.
accelerator() { # prints kvm or tcg, which is emulation
    case $LAB_ACCEL in
        kvm | tcg) printf %s "$LAB_ACCEL"; return ;;
        auto) ;;
        *) die "LAB_ACCEL must be auto, kvm or tcg, not '$LAB_ACCEL'" ;;
    esac
    if [ -r /dev/kvm ] && [ -w /dev/kvm ] && [ ! -d /sys/module/kvm_pvm ] &&
        { [ -d /sys/module/kvm_intel ] || [ -d /sys/module/kvm_amd ]; }; then
        printf kvm
    else
        printf tcg
    fi
}

# By it, the VM finds the port that the cable is in.
cable_mac() { echo "02:6c:69:6e:6b:$(printf %02x $((RANDOM % 256)))"; }
