#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: two portals make two paths and one map for each LUN; what is written through the map is read on every path;
# logout leaves nothing.
. "$(dirname "$0")/../lib/test.sh"

must 'a target with three LUNs on two portals' target t 3
must 'discovery finds it on both' discover t
is 'two records' "$(iscsiadm -m node | grep -c "$(iqn_of t)$")" 2
must 'login over both' login t
is 'two sessions' "$(sessions t)" 2
for number in 0 1 2; do
    ok "LUN $number: two disks" until_true 20 disks t-$number 2
    ok "LUN $number: a map with two active paths" until_true 20 map_complete t-$number
    ok "LUN $number: its size" size_is "$(map_of t-$number)" 64
done
if [ -e /sys/module/scsi_dh_alua ]; then
    like 'ALUA handles the paths' "$(multipath -ll "$(lab-san wwid t-0)")" "hwhandler='1 alua'"
else
    skip 'ALUA handles the paths' 'this kernel has no scsi_dh_alua'
fi

head -c 1M /dev/urandom >/tmp/pattern
ok 'write through the map' dd if=/tmp/pattern of="$(map_of t-0)" bs=64K oflag=direct conv=fsync
for disk in $(disks t-0); do
    ok "read on a path" eval "dd if=/dev/$disk bs=64K count=16 iflag=direct status=none | cmp - /tmp/pattern"
done
ok 'the other LUN has none of it' eval "dd if=$(map_of t-1) bs=64K count=16 status=none | tr -d '\\0' | cmp - /dev/null"
rm /tmp/pattern

for number in 0 1 2; do ok "LUN $number: the map can be removed" flush t-$number; done
ok 'logout' logout t
ok 'forget the target' forget t
nothing_left 'nothing is left'
finish
