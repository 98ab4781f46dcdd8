#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: what was built on the other machine runs in this one: the addon, the service, the command line, the Perl
# plugin; with a storage on a multipath map.
. "$(dirname "$0")/../lib/test.sh"

must 'a target' target t 1 512M
must 'discovery' discover t
must 'login' login t
must 'a map' until_true 20 map_complete t-0

must 'the addon loads' addon 'typeof native.blockSize'
is 'and says how large the map is' "$(addon 'native.blockSize(args[0]).then(String)' "$(map_of t-0)")" $((512 << 20))
fails 'its errors have codes' '^absent: ' addon 'native.blockSize(args[0])' /dev/mapper/none

ok 'a file system on the map' mkfs.xfs -q "$(map_of t-0)"
mkdir /tmp/mnt
must 'mounted' mount "$(map_of t-0)" /tmp/mnt
export SCFG='{"type":"blockio","path":"/tmp/mnt/store","content":{"images":1}}'
must 'the service starts' service_start
like 'it answers' "$(ask ping)" '"protocol":'
ok 'the storage is activated' plugin '$class->activate_storage($storeid, $scfg, {}); undef'
fails "the service's errors have codes" '^absent: ' ask volume_size_info '{"volname":"100/vm-100-disk-0.raw"}'
is 'the plugin makes a volume' \
    "$(plugin '$class->alloc_image($storeid, $scfg, 100, "raw", undef, $ARGV[0])' 4096)" '100/vm-100-disk-0.raw'
is 'of that size' "$(ask volume_size_info '{"volname":"100/vm-100-disk-0.raw"}' | jq -r .size)" $((4 << 20))

ok 'a crash of the service' service_kill
fails 'is noticed' . ask ping
must 'it starts again' service_start
ok 'and removes the volume' plugin '$class->free_image($storeid, $scfg, "100/vm-100-disk-0.raw", 0, "raw"); undef'
fails 'which is gone' '^absent: ' ask volume_size_info '{"volname":"100/vm-100-disk-0.raw"}'
service_stop

ok 'unmounted' umount /tmp/mnt
rmdir /tmp/mnt
ok 'the map can be removed' flush t-0
ok 'logout' logout t
ok 'forget the target' forget t
nothing_left 'nothing is left'
finish
