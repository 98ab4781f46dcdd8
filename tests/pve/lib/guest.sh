# shellcheck shell=bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Virtual machines, and the tiny guest of guest.S that shows what became of its memory and its writes.

make_vm() { # VMID [OPTION...]
    on1 qm create "$1" --name "vm$1" --memory 32 --kvm 0 --vga none --serial0 socket --scsihw virtio-scsi-pci "${@:2}"
}

build_guest() { # once per file; the nodes have the assembler
    [ -e "$STORE/guest.bin" ] || on1 sh -c 'cd "$1" && cat >guest.S && as --32 -o guest.o guest.S &&
        ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o guest.bin guest.o' - "$STORE" <"$here/lib/guest.S"
}

install_guest() { # VOLID
    build_guest >>"$LOG" 2>&1 && fill "$1" "$STORE/guest.bin"
}

# Of a stopped VM: "STARTS LAST MISSING": starts of the guest, its last number, and how many of the 256 newest numbers are
# not on the disk
tracks() { # VOLID [NODE]
    with_volume "${2:-pve1}" "$1" qemu-io -r -U -f "$(format_of "$1")" -c 'read -v 512 512' -c 'read -v 128k 128k' {} |
        perl -ne '
            next if !/^([0-9a-f]+): +(..) (..) (..) (..) /;
            my ($at, $n) = (hex($1), hex("$5$4$3$2"));
            $starts = $n if $at == 512;
            next if $at < 131072 || $at % 512;
            $ring[($at - 131072) / 512] = $n;
            $last = $n if $n > $last;
            END {
                for my $i (0 .. 255) {
                    my $wanted = $last - ($last - $i) % 256;
                    $missing++ if $ring[$i] != ($wanted < 1 ? 0 : $wanted);
                }
                printf("%d %d %d\n", $starts, $last, $missing);
            }'
}

# Is the guest writing? Asked of QEMU, as the image of a running VM need not be complete.
guest_alive() { # VMID [DEVICE [NODE]]
    on "${3:-pve1}" perl -e 'use PVE::QemuServer::Monitor qw(mon_cmd);
        my ($vmid, $device) = map { /^(.*)$/s } @ARGV; # nothing of ours, in taint mode
        my $writes = sub {
            my ($disk) = grep { ($_->{qdev} // "") =~ m!(^|/)$device(/|\z)! } @{ mon_cmd($vmid, "query-blockstats") };
            return $disk->{stats}->{wr_operations};
        };
        my $before;
        for (1 .. 120) {
            my $now = $writes->();
            exit(0) if $now && defined($before) && $now > $before + 2;
            $before //= $now if $now;
            select(undef, undef, undef, 0.25);
        }
        die "no sign of life within 30 s\n"' "$1" "${2:-scsi0}"
}

live_mark() { # VMID DEVICE BYTE: 64 KiB of that byte at 1 MiB, through the running QEMU
    qmp "$1" human-monitor-command command-line "qemu-io -d $2 \"write -P $3 1M 64k\""
}

# After a rollback to a snapshot with memory, the clean-up of the old process can hold the guest's lock for half a minute,
# as it waits for the end of a process that the rollback has replaced. PVE's commands wait for ten seconds.
unlocked() { on1 flock -w 60 "/var/lock/qemu-server/lock-$1.conf" true; } # VMID
stop_vm() { # VMID [NODE]
    local i
    for ((i = 0; i < 6; i++)); do
        on "${2:-pve1}" qm stop "$1" && return
    done
    return 1
}

vm_status() { on "${2:-pve1}" qm status "$1" | sed 's/status: //'; }

qmp() { # VMID COMMAND [ARGUMENT VALUE...]: the answer as JSON
    on1 perl -e 'use PVE::QemuServer::Monitor qw(mon_cmd); use JSON; my ($vmid, $command, %args) = map { /^(.*)$/s } @ARGV;
        print JSON->new->canonical->allow_nonref->encode(mon_cmd($vmid, $command, %args)), "\n"' "$@"
}
