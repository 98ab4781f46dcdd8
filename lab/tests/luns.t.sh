#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: LUNs grow, come, go, and change under one number while the target is in use.
. "$(dirname "$0")/../lib/test.sh"

must 'a target' target t 1
must 'discovery' discover t
must 'login' login t
must 'a map' until_true 20 map_complete t-0

ok 'the array grows the LUN' lab-san resize t-0 96M
ok 'rescan' rescan
for disk in $(disks t-0); do ok 'a path has the new size' until_true 10 size_is "/dev/$disk" 96; done
size_is "$(map_of t-0)" 64 >/dev/null || multipathd resize map "$(lab-san wwid t-0)" >/dev/null # some versions do so
ok 'the map takes it' until_true 10 resize_map t-0
ok 'and has it' size_is "$(map_of t-0)" 96

ok 'the array adds a LUN' add_lun t more 32M
ok 'rescan' rescan
ok 'it gets a map' until_true 20 map_complete more
ok 'of its size' size_is "$(map_of more)" 32
ok 'and one with a high number' add_lun t high 32M 300
ok 'rescan' rescan
ok 'which gets a map' until_true 20 map_complete high

for volume in more high; do
    ok "$volume: the map is removed" flush "$volume"
    ok "$volume: the disks are removed" remove_disks "$volume"
    ok "$volume: the array takes it away" remove_lun t "$volume"
    is "$volume: no disk is left" "$(disks "$volume")" ''
done

ok 'another volume under the number that was freed' add_lun t other 48M 1
ok 'rescan' rescan
ok 'it is seen as what it is' until_true 20 map_complete other
is 'and not as the former' "$(disks more)" ''

ok 'taken away by the array alone' remove_lun t other
ok 'the node goes on having its disks' disks other 2
fails 'which cannot be read' 'error' dd if="/dev/$(disks other | sed -n 1p)" of=/dev/null bs=4K count=1 iflag=direct
dd if="$(map_of other)" of=/dev/null bs=4K count=1 iflag=direct 2>/dev/null &
reader=$!
ok 'somebody waits for the map' until_true 10 grep -qx "State:[[:space:]]D.*" "/proc/$reader/status"
ok 'the map can be removed' flush other
for disk in $(disks other); do echo 1 >"/sys/block/$disk/device/delete"; done

ok 'the map can be removed' flush t-0
ok 'logout' logout t
ok 'forget the target' forget t
nothing_left 'nothing is left'
finish
