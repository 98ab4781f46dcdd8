#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: namespaces over NVMe/TCP on two portals: connected as one device each, again and again; a portal lost before, and
# either one during I/O and streams; all lost for a while; grown under I/O; a number that became another volume's; disconnected
# so that nothing is left.
# needs: nvme
# timeout: 400
. "$(dirname "$0")/../lib/test.sh"

nvme_needed
must 'a subsystem with two namespaces' nvme_target n 2
must 'the connectors' connectors_start
round() { # NUMBER
    local path
    path=$(nvme_attach n-0) && controllers live 2 || return
    echo "round $1" | dd of="$path" bs=4096 conv=sync,fsync,nocreat status=none || return
    dd if="$path" bs=4096 count=1 iflag=direct status=none | grep -aq "^round $1\$" || return
    nvme_detach n-0 && controllers live 0 && [ ! -e "$path" ] && [ ! -L "$path" ]
}
rounds() { # COUNT
    local number
    for ((number = 1; number <= $1; number++)); do round "$number" || { echo "in round $number"; return 1; }; done
}
ok 'connected, written, read and disconnected five times' rounds 5
nothing_left 'nothing is left'

# --- a portal down before
must 'fabric b is cut' fabric_cut b
ok 'connected over the other' nvme_attach n-0
ok 'one controller' controllers live 1
like 'with a warning' "$(grep -c 'a portal cannot be used' "$CONNECTORS_LOG")" '^[1-9]'
ok 'fabric b is healed' fabric_heal b
ok 'activated again' nvme_attach n-0
ok 'two controllers' until_true 20 controllers live 2
is 'its own disk' "$(readlink "$(link_of n-0)")" "$(nvme_disk n-0)"
ok 'the other volume' nvme_attach n-1
is 'has another one' "$(readlink "$(link_of n-1)")" "$(nvme_disk n-1)"

# --- under I/O: whichever path it takes, it is lost once, with and without a carrier that tells
must 'I/O' load_start "$(link_of n-0)"
for f in a b; do
    ok "fabric $f is cut" fabric_cut $f
    ok "its controller is lost" until_true 30 controllers live 1
    ok 'I/O goes on' load_goes_on
    ok "fabric $f is healed" fabric_heal $f
    ok 'two controllers' until_true 60 controllers live 2
done
ok 'fabric a falls silent' fabric_mute a
ok "its controller is lost" until_true 30 controllers live 1
ok 'I/O goes on' until_true 60 load_goes_on
ok 'fabric a is healed' fabric_heal a
ok 'two controllers' until_true 60 controllers live 2
ok 'no I/O failed, all data is right' load_stop

# --- under streams
head -c 64M /dev/urandom >/tmp/image
sum=$(sha256sum </tmp/image | cut -c1-64)
cut_soon() { (sleep 1; fabric_cut "$1") & }
ends() { # COMMAND...: in time; where it hangs, if not
    local pid file
    "$@" &
    pid=$!
    until_true 60 eval "! kill -0 $pid 2>/dev/null" && wait "$pid" && return
    for file in /proc/[0-9]*/task/*/stack; do
        case $(cat "${file%/stack}/comm") in pve-blockio | blockio-* | nvme* | cat) printf '%s\n' "$file" && cat "$file" ;; esac
    done
    dmesg | tail -n 20
    return 1
}
import() { perl -e 'print pack("Q<", -s shift)' /tmp/image | cat - /tmp/image |
    "$project/bin/pve-blockio" import --device "$(link_of n-0)" --no-progress; }
export_sum() { "$project/bin/pve-blockio" export --device "$(link_of n-0)" --no-progress | tail -c +9 | sha256sum | cut -c1-64; }
cut_soon a
cutter=$!
ok 'an import while a portal goes down' ends import
wait $cutter # on a fast machine the cut comes after it
ok 'fabric a is healed' fabric_heal a
ok 'two controllers' until_true 60 controllers live 2
is 'its data is right' "$(export_sum)" "$sum"
cut_soon b
is 'and so is that of an export while the other one goes down' "$(export_sum)" "$sum"
wait $!
ok 'fabric b is healed' fabric_heal b
ok 'two controllers' until_true 60 controllers live 2
rm /tmp/image

# --- all down for a while
must 'I/O again' load_start "$(link_of n-0)"
for f in a b; do ok "fabric $f is cut" fabric_cut $f; done
ok 'no controller' until_true 30 controllers live 0
fails 'what cannot be written out stays' '^unreachable: .*no connection' nvme_detach n-1
nobody_waits() { ! pgrep -f connectors.mjs | while read -r pid; do cat /proc/"$pid"/task/*/stat; done | grep ') D '; }
ok 'no process waits for it' until_true 20 nobody_waits
sleep 20
for f in a b; do ok "fabric $f is healed" fabric_heal $f; done
ok 'two controllers' until_true 60 controllers live 2
ok 'I/O goes on' until_true 30 load_goes_on

# --- growth
ok 'the array grows it under I/O' lab-san resize n-0 96M
ok 'the node sees that' nvme_grown n-0 96
ok 'its disk has the size' size_is "$(link_of n-0)" 96
ok 'no I/O failed, all data is right' load_stop

# --- giving up
exec 3<"$(link_of n-1)"
fails 'an open one stays' '^busy: .*open in process' nvme_detach n-1
ok 'whole' dd if="$(link_of n-1)" of=/dev/null bs=1M count=1 iflag=direct status=none
exec 3<&-
ok 'one goes' nvme_detach n-0
ok 'the subsystem stays for the other' controllers live 2

# --- a number that became another volume's
must 'the array gives the number of the other to a third' nvme_replace n 2 n-2
fails 'the old volume is not there' '^unreachable: .*did not appear' nvme_attach n-1
true_that 'its link leads nowhere' ! -L "$(link_of n-1)"
ok 'the third one is' nvme_attach n-2
is 'as its own disk' "$(readlink "$(link_of n-2)")" "$(nvme_disk n-2)"
ok 'the old one is given up' nvme_detach n-1
ok 'without the third losing anything' controllers live 2
ok 'which goes too' nvme_detach n-2
ok 'and the subsystem with it' controllers live 0
ok 'once more is no error' nvme_detach n-2
connectors_stop
nothing_left 'nothing is left'
finish
