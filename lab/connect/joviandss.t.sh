#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: the life of a guest's disks on JovianDSS, from Perl to the REST API and to real iSCSI sessions and maps on two
# portals: data, snapshots, their export in use, clones, rollback, growth, a failover under a stream; nothing is left.
# timeout: 900
#
# shellcheck disable=SC2016 # Perl's variables
. "$(dirname "$0")/../lib/test.sh"

must 'an array' jovian_start
SCFG=$(jovian_section)
export SCFG
must 'the service' service_start
disk=vm-100-disk-0
ok 'the storage is added' call 'on_add_hook($storeid, $scfg, user_password => $ARGV[0])' 'quite a secret'
ok 'and activated' call 'activate_storage($storeid, $scfg, {})'
is 'a volume' "$(alloc 100 64)" "$disk"
ok 'active' activate "$disk"
ok 'it is a map with two paths' until_true 30 has_paths "$disk" 2
is 'of its size' "$(blockdev --getsize64 "$(path_of "$disk")")" $((64 << 20))
dd if=/dev/urandom of="$(path_of "$disk")" bs=1M oflag=direct conv=fsync status=none count=48
first=$(sum_of "$(path_of "$disk")")

# --- snapshots
ok 'a snapshot' snapshot "$disk" one
dd if=/dev/urandom of="$(path_of "$disk")" bs=1M oflag=direct conv=fsync status=none count=16
must 'I/O' load_start "$(path_of "$disk")"
ok 'the snapshot is active beside it' activate "$disk" one
is 'with the data of its time' "$(sum_of "$(path_of "$disk@one")")" "$first"
ok 'and not any more' deactivate "$disk" one
is 'its export' "$(exported "$disk" one)" "$first"
ok 'no I/O failed' load_stop

# --- growth under I/O
must 'I/O' load_start "$(path_of "$disk")"
ok 'it grows in use' call 'volume_resize($scfg, $storeid, $ARGV[0], 512 << 20, 1)' "$disk"
is 'its map has the size' "$(blockdev --getsize64 "$(path_of "$disk")")" $((512 << 20))
ok 'no I/O failed' load_stop
grown=$(sum_of "$(path_of "$disk")" $((512 << 20)))

# --- the array's other node takes over
is 'a second volume' "$(alloc 100 64)" vm-100-disk-1
failover() {
    sleep "$(scaled 3)"
    jovian POST failover "{\"to\":[\"$(lab-san address b)\"],\"afterMs\":3000}" >/dev/null
    for f in a b; do fabric_mute $f; done
    sleep 5
    for f in a b; do fabric_heal $f; done
}
failover &
is 'an export while the pool moves is right' "$(exported "$disk")" "$grown"
wait $!
ok 'the array answers' until_true 60 plugin '$class->volume_size_info($scfg, $storeid, $ARGV[0], 5); undef' "$disk"
ok 'two paths' until_true 60 has_paths "$disk" 2

# --- rollback
ok 'inactive' deactivate "$disk"
ok 'rolled back' call 'volume_snapshot_rollback($scfg, $storeid, $ARGV[0], "one")' "$disk"
ok 'active again' activate "$disk"
is 'with the data of the snapshot' "$(sum_of "$(path_of "$disk")")" "$first"
ok 'inactive' deactivate "$disk"

# --- clones
clone=$(plugin '$class->clone_image($scfg, $storeid, $ARGV[0], 101, "one")' "$disk")
like 'a linked clone' "$clone" 'vm-101-disk-0$'
ok 'active' activate "$clone"
is 'with the data of the snapshot' "$(sum_of "$(path_of vm-101-disk-0)")" "$first"
dd if=/dev/zero of="$(path_of vm-101-disk-0)" bs=1M oflag=direct conv=fsync status=none count=1
ok 'inactive' deactivate "$clone"

# --- the end
unlike 'the password is in no log' "$(cat "$SERVICE_LOG" "${LOG%.log}.jdss.log")" 'quite a secret'
for volume in "$clone" vm-100-disk-1; do ok "$volume is freed" free "$volume"; done
ok 'the snapshot is deleted' call 'volume_snapshot_delete($scfg, $storeid, $ARGV[0], "one")' "$disk"
ok "$disk is freed" free "$disk"
is 'nothing is listed' "$(plugin 'scalar @{ $class->list_images($storeid, $scfg) }')" 0
ok 'the storage is deleted' call 'on_delete_hook($storeid, $scfg)'
jovian_empty
service_stop
jovian_stop
nothing_left 'nothing is left'
finish
