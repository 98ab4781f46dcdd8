#!/bin/bash
# SPDX-License-Identifier: AGPL-3.0-or-later
# Proves: a volume grows under I/O, on every path and on the map; a path that multipathd let go does not stay behind; a LUN
# number that became another volume's is never opened as the old one.
# timeout: 400
. "$(dirname "$0")/../lib/test.sh"

must 'a target' target t 1
must 'the connectors' connectors_start
must 'connected' attach t-0
must 'I/O' load_start "$(link_of t-0)"
ok 'it grows on the array' lab-san resize t-0 96M
ok 'and on the node' grown t-0 96
ok 'the map has the size' size_is "$(map_of t-0)" 96
for disk in $(disks t-0); do ok "path $disk has it" size_is "/dev/$disk" 96; done
ok 'I/O goes on' load_goes_on
ok 'no I/O failed, all data is right' load_stop

# --- a path that multipathd does not know
paths_by() { addon "(await native.$1('/', args[0])).length" "$(lab-san wwid t-0)"; } # usedPaths|devicePaths
let_go() { [ "$(multipathd del path "$(disks t-0 | head -n 1)")" = ok ]; }
is 'the map leads to both paths' "$(paths_by usedPaths)" 2
must 'multipathd lets one go' let_go
is 'the map leads to the other' "$(paths_by usedPaths)" 1
is 'both are still there' "$(paths_by devicePaths)" 2
ok 'disconnected' detach t-0
ok 'neither path is left' disks t-0 0

# --- the number is another volume's
must 'LUN 1' add_lun t first 64M 1
ok 'connected' connector attach "$(iscsi_of first 1 t)" "$(link_of first)"
ok 'marked' dd if=/dev/zero of="$(link_of first)" bs=1M count=1 oflag=direct conv=fsync,nocreat status=none
must 'the array takes it away under us' remove_lun t first
must 'and gives its number to another one' add_lun t second 64M 1
exec 3<"$(map_of first)" # somebody has it open
fails 'while the old one is in use the new one is refused' '^refused:.*is 3' \
    connector attach "$(iscsi_of second 1 t)" "$(link_of second)"
true_that 'no link leads anywhere' ! -e "$(link_of second)"
exec 3<&-
ok 'afterwards the old one goes and the new one comes' connector attach "$(iscsi_of second 1 t)" "$(link_of second)"
is 'its own disk' "$(readlink "$(link_of second)")" "$(map_of second)"
ok 'disconnected' connector detach "$(iscsi_of second 1 t)" "$(link_of second)"
rm -f "$(link_of first)"
connectors_stop
nothing_left 'nothing is left'
finish
