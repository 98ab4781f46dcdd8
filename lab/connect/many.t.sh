#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: 32 volumes are connected by 32 processes at once; connecting and disconnecting one volume at the same time ends in
# one of the two; a volume that is open is not disconnected, and works on.
# timeout: 900
. "$(dirname "$0")/../lib/test.sh"

must 'a target with 32 LUNs' target t 32 4M
must 'the connectors' connectors_start
all() { # VERB: for each volume in a process of its own
    local number pids=() failed=0 pid
    for ((number = 0; number < 32; number++)); do
        "$1" "t-$number" 300 &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
    return $failed
}
complete() {
    local number
    for ((number = 0; number < 32; number++)); do
        [ "$(readlink "$(link_of "t-$number")")" = "$(map_of "t-$number")" ] || { echo "t-$number"; return 1; }
    done
    [ "$(multipathd show paths raw format '%t' | grep -c '^active')" = 64 ]
}
ok 'all at once' all attach
ok 'each is its own map with two paths' until_true 60 complete
ok 'all away at once' all detach
nothing_left 'nothing is left'

race() {
    local round
    for ((round = 0; round < 5; round++)); do
        attach t-0 120 >/dev/null &
        detach t-0 120 &
        attach t-0 120 >/dev/null &
        wait
        attach t-0 120 >/dev/null && dd if="$(link_of t-0)" of=/dev/null bs=1M count=1 iflag=direct status=none || return
    done
}
ok 'one volume, connected and disconnected at once' race
exec 3<>"$(link_of t-0)"
fails 'an open one is not disconnected' '^busy: ' detach t-0
ok 'it works on' dd if="$(link_of t-0)" of=/dev/null bs=1M count=1 iflag=direct status=none
exec 3>&-
ok 'a closed one is' detach t-0
connectors_stop
nothing_left 'nothing is left'
finish
