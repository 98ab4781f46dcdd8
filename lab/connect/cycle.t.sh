#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: a volume on two portals is connected as one map over two paths, data goes through it, and afterwards nothing of it
# is left on the node: no map, disk, session, record or link. Again and again.
# timeout: 900
. "$(dirname "$0")/../lib/test.sh"

must 'a target with two LUNs' target t 2
must 'the connectors' connectors_start
round() { # NUMBER
    local path
    path=$(attach t-0) || return
    until_true 20 paths t-0 active 2 || return
    echo "round $1" | dd of="$path" bs=512 conv=sync,fsync,nocreat status=none || return
    dd if="$path" bs=512 count=1 iflag=direct status=none | grep -q "^round $1\$" || return
    detach t-0 || return
    sessions t 0 && disks t-0 0 && [ ! -e "$path" ] && until_true 10 test ! -e "$(map_of t-0)"
}
rounds() { # COUNT
    local number
    for ((number = 1; number <= $1; number++)); do round "$number" || { echo "in round $number"; return 1; }; done
}
ok '50 times connected, written, read and disconnected' rounds 50
nothing_left 'nothing is left'

ok 'two LUNs of one target' attach t-0
ok 'the second one' attach t-1
ok 'the first one goes' detach t-0
ok 'the sessions stay for the second' sessions t 2
ok 'which still works' dd if="$(link_of t-1)" of=/dev/null bs=1M count=1 iflag=direct status=none
ok 'until it goes too' detach t-1
ok 'and its sessions with it' sessions t 0
ok 'once more is no error' detach t-1
connectors_stop
nothing_left 'nothing is left of both'
finish
