#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: a portal that is down costs a path, and comes back with the next activation; streams and I/O live through the loss
# of a path, and of all paths for a while; when all paths are gone for good, a volume can still be given up.
# timeout: 900
. "$(dirname "$0")/../lib/test.sh"

must 'a target' target t 2 256M
must 'the connectors' connectors_start

# --- down before
must 'fabric b is cut' fabric_cut b
ok 'connected over the other' attach t-0
ok 'one path' until_true 20 paths t-0 active 1
like 'with a warning' "$(grep -c 'a portal cannot be used' "$CONNECTORS_LOG")" '^[1-9]'
ok 'fabric b healed' fabric_heal b
ok 'activated again' attach t-0
ok 'two paths' until_true 20 map_complete t-0

# --- under streams
must 'the other volume' attach t-1
head -c 256M /dev/urandom >/tmp/image
sum=$(sha256sum </tmp/image | cut -c1-64)
cut_soon() { (sleep "$(scaled 1)"; fabric_cut "$1") & }
import() { perl -e 'print pack("Q<", -s shift)' /tmp/image | cat - /tmp/image |
    "$project/bin/pve-blockio" import --device "$(link_of t-0)" --no-progress; }
export_sum() { "$project/bin/pve-blockio" export --device "$(link_of t-0)" --no-progress | tail -c +9 | sha256sum | cut -c1-64; }
cut_soon a
ok 'an import while a portal goes down' import
wait $! # on a fast machine the cut comes after it
ok 'fabric a healed' fabric_heal a
ok 'two paths' until_true 60 map_complete t-0
cut_soon b
is 'an export while the other one goes down is right' "$(export_sum)" "$sum"
wait $!
ok 'fabric b healed' fabric_heal b
ok 'two paths' until_true 60 map_complete t-0
rm /tmp/image

# --- all down for a while
must 'I/O' load_start "$(link_of t-1)"
for f in a b; do ok "fabric $f is cut" fabric_cut $f; done
sleep 20
for f in a b; do ok "fabric $f is healed" fabric_heal $f; done
ok 'I/O goes on' until_true 90 load_goes_on
ok 'no I/O failed, all data is right' load_stop
for v in t-0 t-1; do ok "$v has two paths" until_true 60 map_complete $v; done

# --- gone for good
for f in a b; do ok "fabric $f is cut" fabric_cut $f; done
ok 'the paths fail' until_true 60 paths t-0 failed 2
seconds=$SECONDS
detach t-0 "$(scaled 60)" >/tmp/said 2>&1
like 'giving it up ends within its time' $((SECONDS - seconds < $(scaled 70))) '^1$'
ok 'no map is left' until_true 10 test ! -e "$(map_of t-0)"
nobody_waits() { ! ps -eo stat=,comm= | awk '$1 ~ /^D/ && $2 !~ /kworker|ubd|jbd2/' | grep .; }
ok 'no process waits for a disk' until_true 20 nobody_waits
for f in a b; do ok "fabric $f is healed" fabric_heal $f; done
ok 'given up once more' until_true 60 detach t-0 30
ok 'the other one is complete again' until_true 60 map_complete t-1
ok 'and goes' detach t-1
connectors_stop
nothing_left 'nothing is left'
finish
