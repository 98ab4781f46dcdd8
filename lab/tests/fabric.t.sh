#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: fabrics can be cut, muted and healed under I/O, which goes on over the other one and loses nothing; a portal
# can accept connections and stay silent.
# timeout: 240
. "$(dirname "$0")/../lib/test.sh"

must 'a target' target t 1
must 'discovery' discover t
must 'login' login t
must 'a map with two paths' until_true 20 map_complete t-0
must 'I/O on it' load_start "$(map_of t-0)"

for how in cut mute; do
    ok "fabric a $how" "fabric_$how" a
    ok 'its path fails' until_true 60 paths t-0 failed 1
    ok 'I/O goes on over the other' load_goes_on
    ok 'fabric a healed' fabric_heal a
    ok 'its path returns' until_true 30 map_complete t-0
done

ok 'logout over fabric b under I/O' logout t b
ok 'one path is left' until_true 20 paths t-0 active 1
ok 'I/O goes on' load_goes_on
ok 'login over fabric b again' login t b
ok 'two paths again' until_true 20 map_complete t-0
ok 'no I/O failed, all data is right' load_stop

silent=$(silent_portal b)
ok 'the silent portal accepts a connection' bash -c "exec 3<>/dev/tcp/${silent/://}"
fails 'and sends nothing' '^$' bash -c "exec 3<>/dev/tcp/${silent/://}; read -r -t 2 <&3"
within $(($(scaled 1) + 29)) 'discovery on it gives up' timeout 8 \
    iscsiadm -m discovery -t sendtargets -p "$silent"

ok 'the map can be removed' flush t-0
ok 'logout of the rest' logout t
ok 'forget the target' forget t
iscsiadm -m discoverydb -t sendtargets -p "$silent" -o delete >/dev/null 2>&1
nothing_left 'nothing is left'
finish
