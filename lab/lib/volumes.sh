# shellcheck shell=bash
# shellcheck disable=SC2016 # Perl's variables
# SPDX-License-Identifier: AGPL-3.0-or-later
# Volumes of the storage STOREID, SCFG through the Perl plugin, as PVE calls it.

path_of() { echo "/run/pve-blockio/dev/$STOREID/$1"; } # VOLNAME[@SNAPSHOT]
call() { plugin "\$class->$1; undef" "${@:2}"; }       # CALL [ARGUMENT...]: for its effect

alloc() { # VMID MIB: prints the name
    plugin '$class->alloc_image($storeid, $scfg, $ARGV[0], "raw", undef, $ARGV[1] << 10)' "$@"
}

activate() { call 'activate_volume($storeid, $scfg, $ARGV[0], $ARGV[1], {})' "$@"; }     # VOLNAME [SNAPSHOT]
deactivate() { call 'deactivate_volume($storeid, $scfg, $ARGV[0], $ARGV[1], {})' "$@"; } # VOLNAME [SNAPSHOT]
snapshot() { call 'volume_snapshot($scfg, $storeid, @ARGV)' "$@"; }                      # VOLNAME SNAPSHOT
free() { call 'free_image($storeid, $scfg, $ARGV[0], 0, "raw")' "$@"; }                  # VOLNAME

exported() { # VOLNAME [SNAPSHOT]: sum of the data
    plugin 'open(my $fh, ">&", \*STDOUT); $class->volume_export($scfg, $storeid, $fh, $ARGV[0], "raw+size", $ARGV[1], undef, 0); undef' \
        "$@" | tail -c +9 | sum
}

sum() { sha256sum | cut -c1-64; }
sum_of() { head -c "${2:-64M}" "$1" | sum; } # PATH [BYTES]

# With so many active paths in its map.
has_paths() { # VOLNAME COUNT
    local map
    map=$(basename "$(readlink "$(path_of "$1")")")
    [ "$(multipathd show paths raw format '%t %w' | grep -c "^active $map")" = "$2" ]
}
